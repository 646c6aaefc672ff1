"""Makes an environment as conda does: packages in a channel, solved and installed by rattler, the library of pixi, and
the script that activates it for bash. Nothing is fetched: the packages are made here, their Python is this machine's.

usage: conda.py FOLDER     leaves FOLDER/envs/forecast and FOLDER/activate.sh
"""

import asyncio
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile

import rattler
from rattler import index, shell

root = pathlib.Path(sys.argv[1])
channel = root / "channel"


def package(name, files):
    paths = []
    (channel / "linux-64").mkdir(parents=True, exist_ok=True)
    with tarfile.open(channel / "linux-64" / f"{name}-1.0-0.tar.bz2", "w:bz2") as archive:

        def add(path, data, mode=0o644):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))

        for path, text in files.items():
            data = text.encode()
            paths.append(
                {
                    "_path": path,
                    "path_type": "hardlink",
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size_in_bytes": len(data),
                }
            )
            add(path, data, 0o755)
        about = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "depends": []}
        add("info/index.json", json.dumps({**about, "subdir": "linux-64"}).encode())
        add("info/paths.json", json.dumps({"paths_version": 1, "paths": paths}).encode())
        add("info/files", "\n".join(files).encode())


async def main():
    python = f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} "$@"\n'
    package("python", {"bin/python": python, "bin/python3": python})
    hook = 'export GDAL_DATA="$CONDA_PREFIX/share/gdal"\n'
    package("gdal", {"etc/conda/activate.d/gdal.sh": hook, "share/gdal/epsg": ""})
    (channel / "noarch").mkdir(exist_ok=True)
    await index.index_fs(channel)
    records = await rattler.solve(
        sources=[rattler.Channel(f"file://{channel}")],
        specs=["python", "gdal"],
        platforms=["linux-64", "noarch"],
        virtual_packages=[],
    )
    prefix = root / "envs" / "forecast"
    await rattler.install(records, target_prefix=prefix, cache_dir=root / "cache", show_progress=False)
    variables = shell.ActivationVariables(None, os.environ["PATH"].split(":"))
    script = shell.activate(prefix, variables, shell.Shell.bash).script
    (root / "activate.sh").write_text(script)


asyncio.run(main())

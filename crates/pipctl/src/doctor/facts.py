# Says which Python this is, and which of the packages that are wanted are there. Argument: {"file": …} or {"lines": […]}.
import json, os, re, sys

sys.path[:] = [entry for entry in sys.path if entry]
asked = json.loads(sys.argv[1])
facts = {"version": "%d.%d.%d" % sys.version_info[:3]}


def logical_lines(path, seen):
    """Lines of a requirements file, those of the files it names included; options are left out."""
    path = os.path.realpath(path)
    if path in seen:
        return
    seen.add(path)
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        text = re.sub(r"\\\r?\n", " ", file.read())
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not line:
            continue
        inner = re.match(r"(?:-r|--requirement)[ =]+(.+)$", line)
        if inner:
            yield from logical_lines(os.path.join(os.path.dirname(path), inner.group(1).strip()), seen)
        elif line.startswith(("-e", "--editable")):
            yield "\0" + line
        elif not line.startswith("-"):
            yield re.split(r"\s--?\w", line)[0].strip()


def look(lines):
    from importlib import metadata

    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
        except ImportError:
            Requirement = None

    normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
    installed = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            installed.setdefault(normal(name), distribution)

    missing, wrong, unread, seen, names = [], [], [], set(), set()

    def simple(line):
        """Without the library that reads requirements: the name, and a version that is pinned."""
        match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*(?:==\s*([^\s;,*]+)\s*)?(?:[;<>=!~].*)?$", line)
        if not match:
            unread.append(line)
            return
        name, pinned = match.groups()
        names.add(normal(name))
        there = installed.get(normal(name))
        if there is None:
            if ";" not in line:
                missing.append(line)
        elif pinned and there.version != pinned:
            wrong.append("%s %s, wanted %s" % (name, there.version, line))

    def full(line, extras, parent):
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            unread.append(line)
            return
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            return
        name = normal(wanted.name)
        names.add(name)
        by = " (by %s)" % parent if parent else ""
        there = installed.get(name)
        if there is None:
            missing.append(str(wanted).split(";")[0].strip() + by)
            return
        if wanted.specifier and not wanted.specifier.contains(there.version, prereleases=True):
            wrong.append("%s %s, wanted %s%s" % (wanted.name, there.version, str(wanted).split(";")[0].strip(), by))
        key = (name, frozenset(wanted.extras))
        if key in seen:
            return
        seen.add(key)
        for inner in there.requires or []:
            full(inner, set(wanted.extras) | {""}, wanted.name)

    for line in lines:
        if line.startswith("\0"):
            unread.append(line[1:])
        elif Requirement is None:
            simple(line)
        else:
            full(line, {""}, None)
    once = lambda many: list(dict.fromkeys(many))
    return {"total": len(names), "missing": once(missing), "wrong": once(wrong), "unread": once(unread)}


if asked:
    try:
        lines = list(logical_lines(asked["file"], set())) if "file" in asked else asked["lines"]
        facts["packages"] = look(lines)
    except Exception as error:
        facts["packages"] = {"total": 0, "missing": [], "wrong": [], "unread": [], "error": "%s: %s" % (type(error).__name__, error)}
print(json.dumps(facts))

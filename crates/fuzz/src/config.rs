//! What people write: `pipd.toml`, `[tool.pipd]`, `server.py`, env files. Taken, or refused in words that end in the command
//! to type.

use std::path::Path;

use workspace::{Caller, Root};

use crate::folder;

pub(crate) const WORDS: &[&str] = &[
    "[workspace]\n",
    "[services.web]\n",
    "[tool.pipd.services.web]\n",
    "command = [\"true\", \"{port}\"]\n",
    "script = \"server.py\"\n",
    "port = \"auto\"\n",
    "ready = { http = \"/\", timeout = \"1m 30s\" }\n",
    "restart = { policy = \"always\", first = \"0s\" }\n",
    "stop = { signal = \"INT\", grace = \"5s\" }\n",
    "logs = { file_size = \"10MiB\", files = 5 }\n",
    "env = { A = \"1\", B = false }\n",
    "after = [\"web\"]\n",
    "\r\n",
    "\u{feff}",
    "\"\\u0000\"",
    "99999999999999999999",
    "nan",
    "export A=\"x y\\n\"\n",
    "serve(port=5001)\n",
];

pub(crate) fn run(text: &[u8]) {
    folder::with(|folder| {
        for name in ["pipd.toml", "pyproject.toml", "server.py"] {
            let root = folder.join(name.replace('.', "-"));
            std::fs::create_dir_all(&root).unwrap();
            std::fs::write(root.join(name), text).unwrap();
            load(&root);
        }
        let file = folder.join("vars.env");
        std::fs::write(&file, text).unwrap();
        match run::environment::read_env_file(&file) {
            Ok(pairs) => assert!(pairs.iter().all(|(name, _)| !name.is_empty() && !name.contains('='))),
            Err(refused) => assert!(refused.contains("vars.env"), "{refused}"),
        }
    });
}

fn load(root: &Path) {
    let caller = Caller { cwd: root.to_owned(), ..Caller::default() };
    let root = Root { path: root.to_owned(), why: "tried".to_owned(), notes: Vec::new() };
    match workspace::load(&root, &caller) {
        Ok(spec) => {
            // What was understood survives the way to the daemon.
            let sent = serde_json::to_vec(&spec).unwrap();
            assert_eq!(serde_json::from_slice::<wire::WorkspaceSpec>(&sent).unwrap(), spec);
        }
        Err(error) => {
            for color in [true, false] {
                let shown = error.render(color);
                assert!(shown.contains("type: "), "{shown}");
            }
            assert!(error.to_string().contains("type: "), "{error}");
        }
    }
}

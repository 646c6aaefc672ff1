//! `pipctl add`: a companion put into `pipd.toml`, from a recipe.

use std::io::Write;
use std::path::{Path, PathBuf};

use workspace::{AddError, Added, Recipe};

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::holders;
use crate::render;
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Add,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let own = own_folder(surroundings);
    let (recipes, wrong) = workspace::recipes(own.as_deref());
    for why in wrong {
        terminal.tell(&format!("passed over {why}\n"));
    }
    let Some(name) = args.name.as_ref().filter(|_| !args.list) else {
        terminal.print(&render::recipes(&recipes))?;
        if let Some(own) = own {
            terminal.tell(&format!("a file in {} adds one of yours\n", own.display()));
        }
        return Ok(Exit::Ok);
    };
    let Some(recipe) = recipes.iter().find(|recipe| recipe.name == *name) else {
        return Err(unknown(name, &recipes));
    };
    let root = find::root(&args.workspace, surroundings)?;
    let added =
        workspace::add(&root, &find::caller(surroundings), recipe, holders::is_free).map_err(refused)?;
    terminal.print(&render::added(&added))?;
    if args.dry_run {
        return Ok(Exit::Ok);
    }
    let whole = format!("{}{}", added.before, added.added);
    replace(&added.path, &whole)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", added.path.display())))?;
    terminal.print(&next(recipe, &added, surroundings, &root))?;
    Ok(Exit::Ok)
}

/// Recipes of the person: `$XDG_CONFIG_HOME/pipd/recipes`, else `~/.config/pipd/recipes`.
fn own_folder(surroundings: &Surroundings) -> Option<PathBuf> {
    let config = surroundings.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| surroundings.home.as_ref().map(|home| home.join(".config")));
    config.map(|config| config.join("pipd/recipes"))
}

fn unknown(name: &str, recipes: &[Recipe]) -> Failure {
    let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    let meant =
        workspace::nearest(name, &names).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    Failure::new(
        Exit::Usage,
        format!("no recipe `{name}`{meant}; there are: {}. Look: pipctl add --list", names.join(", ")),
    )
}

fn refused(error: AddError) -> Failure {
    match error {
        AddError::Config(error) => Failure::new(Exit::Usage, error.render(true)),
        error @ AddError::Exists { .. } => Failure::new(Exit::Failed, error.to_string()),
        error @ AddError::Shape { .. } => Failure::new(Exit::Failed, error.to_string()),
    }
}

/// Replaces a file by another of its mode, or makes it. Through a link, the file it leads to.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".pipctl-{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = std::fs::File::create(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            if let Ok(facts) = path.metadata() {
                file.set_permissions(facts.permissions())?;
            }
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&new, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Whether an environment has a package, whatever its version.
fn has(prefix: &Path, package: &str) -> bool {
    // Installers write names with underscores, and mostly in lower case.
    let begin = format!("{}-", package.replace('-', "_").to_ascii_lowercase());
    let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries(prefix.join("lib"))
        .flat_map(|python| entries(python.path().join("site-packages")))
        .filter_map(|entry| Some(entry.file_name().to_str()?.to_ascii_lowercase()))
        .any(|name| name.starts_with(&begin) && name.ends_with(".dist-info"))
}

/// What is still to be done by the person.
fn next(recipe: &Recipe, added: &Added, surroundings: &Surroundings, root: &workspace::Root) -> String {
    let mut text = String::new();
    let examined = workspace::examine(root, &find::caller(surroundings));
    let prefix = examined.python.as_ref().and_then(|python| python.prefix.as_deref());
    let missing: Vec<&str> = recipe
        .packages
        .iter()
        .map(String::as_str)
        .filter(|package| !prefix.is_some_and(|prefix| has(prefix, package)))
        .collect();
    if !missing.is_empty() {
        let packages = missing.join(" ");
        match &examined.wants {
            Some(wants) => {
                text.push_str(&format!("needs {packages}: add it to {}, then: pipctl setup\n", wants.name()))
            }
            None => text
                .push_str(&format!("needs {packages}: write it into requirements.txt, then: pipctl setup\n")),
        }
    }
    if !recipe.programs.is_empty() {
        text.push_str(&format!("needs the program {} on this machine\n", recipe.programs.join(", ")));
    }
    match added.services.as_slice() {
        [] => text.push_str("look: pipctl status --long    pipctl doctor\n"),
        services => text.push_str(&format!("start: pipctl start {}\n", services.join(" "))),
    }
    text
}

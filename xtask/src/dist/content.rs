//! What is in the packages: a table of files, of which kinds of package each is in, and as what.
//!
//! Texts that one kind of package alone has are in the room of that kind.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::release::Release;
use crate::dist::tools::because;

/// A file of a package.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// From the root of the system.
    pub(super) path: String,
    pub(super) body: Body,
    pub(super) mode: u32,
    /// Whether administrators change it, so that upgrades have to keep it.
    pub(super) is_configuration: bool,
    pub(super) is_compressed: bool,
    kinds: &'static [Kind],
}

/// Where the bytes of a file come from.
#[derive(Clone, Debug)]
pub(super) enum Body {
    File(PathBuf),
    Text(String),
}

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For whoever puts files into their places alone: all of them.
    Tarball,
    Deb,
    Rpm,
}

/// A row of the table: a file of the repository, or a folder with all that is in it, and where it goes.
struct Row {
    source: &'static str,
    /// Ends with a slash if the name stays.
    target: &'static str,
    form: Form,
    kinds: &'static [Kind],
}

#[derive(Clone, Copy)]
enum Form {
    Plain,
    Configuration,
    /// A configuration file that is executed.
    Script,
    /// Compressed, as manuals are.
    Compressed,
}

impl Packed {
    /// Creates a file of text, for everybody to read.
    pub(super) fn text(path: &str, text: String) -> Self {
        let (body, kinds) = (Body::Text(text), ALL);
        Self {
            path: path.to_owned(),
            body,
            mode: 0o644,
            is_configuration: false,
            is_compressed: false,
            kinds,
        }
    }

    /// Has it compressed, which puts `.gz` behind its name.
    pub(super) fn compressed(mut self) -> Self {
        self.is_compressed = true;
        self
    }

    /// Makes it a program.
    pub(super) fn executable(mut self) -> Self {
        self.mode = 0o755;
        self
    }

    fn copy(path: &str, source: PathBuf) -> Self {
        Self { body: Body::File(source), ..Self::text(path, String::new()) }
    }

    fn is_in(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

/// Returns the files of a release, for all kinds of package.
///
/// Of what other people have made and is linked, `texts` tells humans, and `bill` machines.
pub(super) fn files(
    release: &Release,
    binary: &Path,
    texts: String,
    bill: String,
) -> Result<Vec<Packed>, String> {
    let mut files = vec![Packed::copy("usr/bin/procmgr", binary.to_owned()).executable()];
    for row in TABLE {
        let source = release.root.join(row.source);
        if !source.exists() {
            return Err(format!(
                "dist: {} is in the table of xtask/src/dist/content.rs, and is not there",
                row.source
            ));
        }
        pack(row, row.target, &source, &mut files)?;
    }
    files.push(Packed::text(&format!("{DOCUMENTS}third-party.txt"), texts).compressed());
    files.push(Packed::text(&format!("{DOCUMENTS}procmgr.cdx.json"), bill));
    Ok(files)
}

/// Returns the files that are in one kind of package.
pub(super) fn of_kind(files: &[Packed], kind: Kind) -> impl Iterator<Item = &Packed> {
    files.iter().filter(move |packed| packed.is_in(kind))
}

/// Adds what a row names; folders with all that is in them, in the order of their names.
fn pack(row: &Row, target: &str, source: &Path, files: &mut Vec<Packed>) -> Result<(), String> {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    if source.is_dir() {
        let cannot = because(format!("look into {}", source.display()));
        let entries = fs::read_dir(source).map_err(&cannot)?;
        let mut entries: Vec<_> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(cannot)?;
        entries.sort();
        for entry in entries {
            let below = if entry.is_dir() {
                format!("{target}{}/", entry.file_name().unwrap_or_default().to_string_lossy())
            } else {
                target.to_owned()
            };
            pack(row, &below, &entry, files)?;
        }
        return Ok(());
    }
    let target =
        target.replace("@SECTION@", source.extension().unwrap_or_default().to_str().unwrap_or_default());
    let path = if target.ends_with('/') { format!("{target}{name}") } else { target };
    let packed = Packed { kinds: row.kinds, ..Packed::copy(&path, source.to_owned()) };
    files.push(match row.form {
        Form::Plain => packed,
        Form::Configuration => Packed { is_configuration: true, ..packed },
        Form::Script => Packed { is_configuration: true, mode: 0o755, ..packed },
        Form::Compressed => packed.compressed(),
    });
    Ok(())
}

const fn row(source: &'static str, target: &'static str, form: Form, kinds: &'static [Kind]) -> Row {
    Row { source, target, form, kinds }
}

const ALL: &[Kind] = &[Kind::Tarball, Kind::Deb, Kind::Rpm];
const DEB: &[Kind] = &[Kind::Tarball, Kind::Deb];
const DEB_ALONE: &[Kind] = &[Kind::Deb];
const RPM_ALONE: &[Kind] = &[Kind::Rpm];
const TARBALL: &[Kind] = &[Kind::Tarball];
const NO_DEB: &[Kind] = &[Kind::Tarball, Kind::Rpm];

const TABLE: &[Row] = &[
    row("packaging/procmgr.cfg", "etc/", Form::Configuration, ALL),
    row("packaging/systemd", "usr/lib/systemd/system/", Form::Plain, ALL),
    row("packaging/tmpfiles.d", "usr/lib/tmpfiles.d/", Form::Plain, ALL),
    row("packaging/needrestart/procmgr.conf", "etc/needrestart/conf.d/", Form::Configuration, DEB),
    row("packaging/sysv/procmgr", "etc/init.d/", Form::Script, DEB_ALONE),
    // Both have the same place on the systems that have them.
    row("packaging/sysv/procmgr", "usr/share/doc/procmgr/init/sysv/", Form::Plain, TARBALL),
    row("packaging/openrc/procmgr", "usr/share/doc/procmgr/init/openrc/", Form::Plain, TARBALL),
    row("packaging/rsyslog/procmgr.conf", "usr/share/doc/procmgr/examples/rsyslog/", Form::Plain, ALL),
    row("packaging/logrotate/procmgr", "usr/share/doc/procmgr/examples/logrotate/", Form::Plain, ALL),
    row("packaging/man", "usr/share/man/man@SECTION@/", Form::Compressed, ALL),
    row(
        "packaging/completions/procmgr.bash",
        "usr/share/bash-completion/completions/procmgr",
        Form::Plain,
        ALL,
    ),
    row("packaging/completions/_procmgr", "usr/share/zsh/vendor-completions/", Form::Plain, DEB_ALONE),
    row("packaging/completions/_procmgr", "usr/share/zsh/site-functions/", Form::Plain, NO_DEB),
    row("packaging/completions/procmgr.fish", "usr/share/fish/vendor_completions.d/", Form::Plain, ALL),
    row("README.md", DOCUMENTS, Form::Plain, ALL),
    row("CHANGELOG.md", DOCUMENTS, Form::Plain, NO_DEB),
    row("CHANGELOG.md", "usr/share/doc/procmgr/changelog", Form::Compressed, DEB_ALONE),
    row("docs", "usr/share/doc/procmgr/docs/", Form::Plain, ALL),
    row("examples", "usr/share/doc/procmgr/examples/", Form::Plain, ALL),
    // Documents lead to these.
    row("ARCHITECTURE.md", DOCUMENTS, Form::Plain, ALL),
    row("CONTRIBUTING.md", DOCUMENTS, Form::Plain, ALL),
    row("RELEASING.md", DOCUMENTS, Form::Plain, ALL),
    row("SECURITY.md", DOCUMENTS, Form::Plain, ALL),
    row("packaging/README.md", "usr/share/doc/procmgr/packaging/", Form::Plain, ALL),
    row("procmgr-proto/PROTOCOL.md", "usr/share/doc/procmgr/procmgr-proto/", Form::Plain, ALL),
    row("procmgr-proto/README.md", "usr/share/doc/procmgr/procmgr-proto/", Form::Plain, ALL),
    row("procmgr-proto/vectors", "usr/share/doc/procmgr/procmgr-proto/vectors/", Form::Plain, ALL),
    row("LICENSE", DOCUMENTS, Form::Plain, TARBALL),
    row("LICENSE", "usr/share/licenses/procmgr/", Form::Plain, RPM_ALONE),
];

const DOCUMENTS: &str = "usr/share/doc/procmgr/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_packed_in_order_with_what_is_below() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c", "a", "b/z"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut files = Vec::new();
        pack(&row("x", "to/", Form::Plain, ALL), "to/", folder.path(), &mut files).unwrap();
        let paths: Vec<&str> = files.iter().map(|packed| packed.path.as_str()).collect();
        assert_eq!(paths, ["to/a", "to/b/z", "to/c"]);
    }

    #[test]
    fn manuals_go_to_their_sections() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("procmgr.cfg.5"), "").unwrap();
        let mut files = Vec::new();
        let row = row("x", "man/man@SECTION@/", Form::Compressed, ALL);
        pack(&row, row.target, folder.path(), &mut files).unwrap();
        assert_eq!(files[0].path, "man/man5/procmgr.cfg.5");
        assert!(files[0].is_compressed);
    }

    #[test]
    fn whatever_the_table_names_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for row in TABLE {
            assert!(root.join(row.source).exists(), "{}", row.source);
        }
    }

    #[test]
    fn what_packed_documents_lead_to_is_packed() {
        // The licence and the man pages are, elsewhere.
        let elsewhere = ["LICENSE", "packaging/man/procmgr.1", "procmgr-proto/LICENSE"];
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let mut files = Vec::new();
        for row in TABLE.iter().filter(|row| row.target.starts_with(DOCUMENTS)) {
            pack(row, row.target, &root.join(row.source), &mut files).unwrap();
        }
        let sources: Vec<&Path> = files
            .iter()
            .filter_map(|packed| match &packed.body {
                Body::File(source) => Some(source.as_path()),
                Body::Text(_) => None,
            })
            .collect();
        let documents: Vec<_> =
            sources.iter().filter(|source| source.extension().is_some_and(|it| it == "md")).collect();
        assert!(documents.len() > 10);
        for document in documents {
            let text = fs::read_to_string(document).unwrap();
            let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            for link in links.filter(|link| !link.is_empty() && !link.contains(':')) {
                let Ok(target) = document.with_file_name(link).canonicalize() else { continue };
                let is_packed = sources.iter().any(|source| source.starts_with(&target));
                let is_elsewhere = elsewhere.iter().any(|path| target == root.join(path));
                assert!(is_packed || is_elsewhere, "{}: {link} is not packed", document.display());
            }
        }
    }
}

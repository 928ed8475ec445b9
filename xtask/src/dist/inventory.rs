//! Which crates of other people are in the executable, under which licences, and what these want to be told.
//!
//! Whether a licence will do is judged in `licence`; what else is linked is told by `library`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::dist::library::Library;
use crate::dist::licence;
use crate::dist::release::Release;
use crate::dist::tools::{because, cargo, run, tool};

/// The crates that are linked into the executable.
pub(super) struct Inventory {
    version: String,
    compiler: String,
    crates: Vec<Crate>,
}

/// A crate of other people.
struct Crate {
    name: String,
    version: String,
    licence: String,
    authors: String,
    /// The checksum of what the registry has.
    checksum: String,
    folder: PathBuf,
}

impl Inventory {
    /// Asks cargo what is linked.
    ///
    /// # Errors
    /// If cargo does not know, or if something is under a licence that `deny.toml` does not allow.
    pub(super) fn take(release: &Release) -> Result<Self, String> {
        let linked = linked(release)?;
        let lock = fs::read_to_string(release.root.join("Cargo.lock")).map_err(because("read Cargo.lock"))?;
        let checksums = checksums(&lock);
        let metadata =
            run(cargo().current_dir(&release.root).args(["metadata", "--locked", "--format-version", "1"]))?;
        let metadata: Value =
            serde_json::from_str(&metadata).map_err(because("read what cargo metadata tells"))?;
        judge_ages(&metadata)?;
        let mut crates = Vec::new();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            let (name, version) = (text("name"), text("version"));
            // What has no source is ours.
            if package["source"].is_null() || !linked.contains(&(name.clone(), version.clone())) {
                continue;
            }
            let authors = package["authors"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
            let checksum = checksum.ok_or_else(|| format!("dist: {name} is of no registry"))?;
            let folder = PathBuf::from(text("manifest_path")).parent().map(PathBuf::from).unwrap_or_default();
            let authors = authors.collect::<Vec<_>>().join(", ");
            crates.push(Crate { name, version, licence: text("license"), authors, checksum, folder });
        }
        crates.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        judge(release, &crates)?;
        let compiler = run(tool("rustc").current_dir(&release.root).arg("--version"))?;
        let compiler = compiler.split_whitespace().nth(1).unwrap_or_default().to_owned();
        Ok(Self { version: release.version.clone(), compiler, crates })
    }

    /// Returns the version of the compiler that links them.
    pub(super) fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Returns the list for people: each crate, the licence texts that come with it, and what is to be told of
    /// libraries.
    pub(super) fn texts(&self, libraries: &[Library]) -> Result<String, String> {
        let mut list = format!(
            "procmgr {} is under the MIT licence. In its executable are these crates of other people, and the\n\
             libraries that are told of at the end. The texts follow the list.\n\n",
            self.version
        );
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for it in &self.crates {
            let by = if it.authors.is_empty() { String::new() } else { format!(", by {}", it.authors) };
            list.extend([&it.name, " ", &it.version, ": ", &it.licence, &by, "\n"]);
            for text in it.texts()? {
                texts.entry(text).or_default().push(format!("{} {}", it.name, it.version));
            }
        }
        let mut texts: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
        texts.sort();
        for (names, text) in texts {
            list.extend(["\n", &"-".repeat(78), "\n", &names.join(", "), "\n\n", text.trim(), "\n"]);
        }
        list.extend(libraries.iter().map(Library::text));
        Ok(list)
    }

    /// Returns the list for machines: a bill of materials as of `CycloneDX`, of crates and libraries.
    pub(super) fn bill(&self, libraries: &[Library]) -> Result<String, String> {
        let components = self.crates.iter().map(Crate::component).chain(libraries.iter().map(component));
        let components: Vec<Value> = components.collect();
        let bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": { "component": {
                "type": "application",
                "name": "procmgr",
                "version": self.version,
                "licenses": [{ "expression": "MIT" }],
            }},
            "components": components,
        });
        let bill = serde_json::to_string_pretty(&bill).map_err(because("write the bill of materials"))?;
        Ok(bill + "\n")
    }

    /// Returns each crate with its version and its licence.
    pub(super) fn crates(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.crates.iter().map(|it| (it.name.as_str(), it.version.as_str(), it.licence.as_str()))
    }

    /// Returns the authors of a crate, or what stands for them.
    pub(super) fn authors(&self, name: &str) -> String {
        let authors = self.crates.iter().find(|it| it.name == name).map(|it| it.authors.as_str());
        authors.filter(|it| !it.is_empty()).map_or_else(|| format!("The {name} authors"), str::to_owned)
    }
}

impl Crate {
    /// Returns the texts of the licences that come with the crate, without that of Apache, which asks for no more
    /// than to be named, unless it is the only one.
    fn texts(&self) -> Result<Vec<String>, String> {
        let cannot = because(format!("read the licence of {}", self.name));
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&cannot)? {
            names.push(entry.map_err(&cannot)?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| {
            let name = name.to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|it| name.starts_with(it))
        });
        names.sort();
        let is_apache = |name: &String| name.to_uppercase().contains("APACHE");
        if !names.iter().all(is_apache) {
            names.retain(|name| !is_apache(name));
        }
        if names.is_empty() {
            println!(
                "dist: {} {} comes without a licence text; its licence is named",
                self.name, self.version
            );
        }
        let texts = names.iter().map(|name| fs::read_to_string(self.folder.join(name)));
        let texts: Vec<String> = texts.collect::<Result<_, _>>().map_err(cannot)?;
        Ok(texts.into_iter().map(|text| text.replace("\r\n", "\n").trim().to_owned()).collect())
    }

    fn component(&self) -> Value {
        let Self { name, version, licence, checksum, .. } = self;
        json!({
            "type": "library",
            "bom-ref": format!("pkg:cargo/{name}@{version}"),
            "name": name,
            "version": version,
            "purl": format!("pkg:cargo/{name}@{version}"),
            "licenses": [{ "expression": licence.replace('/', " OR ") }],
            "hashes": [{ "alg": "SHA-256", "content": checksum }],
        })
    }
}

fn component(library: &Library) -> Value {
    let Library { name, version, licence, .. } = library;
    json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/{name}@{version}"),
        "name": name,
        "version": version,
        "purl": format!("pkg:generic/{name}@{version}"),
        "licenses": [{ "expression": licence }],
    })
}

/// Asks cargo which crates, by name and version, the executable is linked from. Those that only write code at build
/// time, or that only tests need, are none of them.
fn linked(release: &Release) -> Result<BTreeSet<(String, String)>, String> {
    let options = ["tree", "--locked", "--package", "procmgr", "--edges", "normal,no-proc-macro"];
    let tree = run(cargo().current_dir(&release.root).args(options).args(["--prefix", "none"]))?;
    Ok(tree.lines().filter_map(name_and_version).collect())
}

/// Reads a line such as `log v0.4.35` or `procmgrd v0.1.0 (/somewhere)`.
fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

/// Reads the checksums of all crates that a registry has, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut checksums = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            checksums.insert((name, version), checksum);
        }
    }
    checksums
}

/// Fails if a crate, one that only tests need included, wants a newer Rust than `Cargo.toml` promises to be enough.
fn judge_ages(metadata: &Value) -> Result<(), String> {
    let promised = age(env!("CARGO_PKG_RUST_VERSION"));
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let wanted = package["rust_version"].as_str().unwrap_or_default();
        if age(wanted) > promised {
            return Err(format!("dist: {} wants Rust {wanted}", package["name"]));
        }
    }
    Ok(())
}

/// Reads a version of Rust, such as 1.88 or 1.88.1.
fn age(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|number| number.parse().ok()).collect()
}

fn judge(release: &Release, crates: &[Crate]) -> Result<(), String> {
    let deny = fs::read_to_string(release.root.join("deny.toml")).map_err(because("read deny.toml"))?;
    let allowed = licence::allowed(&deny);
    match crates.iter().find(|it| !licence::is_satisfied(&it.licence, &allowed)) {
        Some(it) => Err(format!(
            "dist: {} {} is under {:?}, which deny.toml does not allow",
            it.name, it.version, it.licence
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_tells_name_and_version() {
        let read = |line| name_and_version(line).unwrap();
        assert_eq!(read("log v0.4.35"), ("log".to_owned(), "0.4.35".to_owned()));
        assert_eq!(read("a-b v1.0.0 (/x y) (*)"), ("a-b".to_owned(), "1.0.0".to_owned()));
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn a_crate_that_wants_a_newer_rust_is_told() {
        let metadata = |wanted: Value| json!({ "packages": [{ "name": "new", "rust_version": wanted }] });
        for fine in [json!(null), json!("1.9"), json!("1.88"), json!("1.56.1")] {
            judge_ages(&metadata(fine)).unwrap();
        }
        for new in ["1.1000", "2.0"] {
            assert!(judge_ages(&metadata(json!(new))).unwrap_err().contains(new));
        }
    }

    #[test]
    fn the_bill_names_what_is_linked_and_is_no_crate() {
        let inventory =
            Inventory { version: "1.0.0".to_owned(), compiler: "1.2.3".to_owned(), crates: Vec::new() };
        let told = "GCC RUNTIME LIBRARY EXCEPTION\n\n2. No Weakening of GCC Copyleft.\n";
        let libraries = [Library::rust("1.2.3"), Library::libgcc("4.5.6", told).unwrap()];
        let bill: Value = serde_json::from_str(&inventory.bill(&libraries).unwrap()).unwrap();
        let texts = inventory.texts(&libraries).unwrap();
        assert_eq!(bill["components"][0]["purl"], "pkg:generic/rust-std@1.2.3");
        assert_eq!(bill["components"][1]["purl"], "pkg:generic/libgcc@4.5.6");
        let exception = "GPL-3.0-or-later WITH GCC-exception-3.1";
        assert_eq!(bill["components"][1]["licenses"][0]["expression"], exception);
        assert!(texts.contains("The standard library of Rust 1.2.3"), "{texts}");
        assert!(texts.contains("2. No Weakening of GCC Copyleft."), "{texts}");
    }

    #[test]
    fn a_crate_of_no_registry_has_no_checksum() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"c\"\n\n\
                    [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.len(), 1);
        assert_eq!(checksums[&("a".to_owned(), "1.0.0".to_owned())], "c");
    }
}

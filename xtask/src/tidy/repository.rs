//! The files of the repository, as the checks see them.
//!
//! The only room of `tidy` that touches the disk; what is wrong with a file is not known here.

use std::path::Path;
use std::{fs, io};

use crate::tidy::rust::Source;

/// Every file of the repository that is text.
#[derive(Debug)]
pub(crate) struct Repository {
    files: Vec<File>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root of the repository, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Repository {
    /// Reads the files below a folder, but for those that are built or are Git's own.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        collect(root, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { files })
    }

    /// Returns a file by its path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns all files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// Returns the files whose name ends like this.
    pub(crate) fn ending_in(&self, end: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(end))
    }

    /// Returns the source files.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.ending_in(".rs").map(Source::new)
    }

    /// Returns whether there is a file or a folder of that path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files().any(|file| {
            file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Returns how many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Creates a repository that exists in a test only.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}

impl File {
    /// Returns the lines with their numbers, which count from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

fn collect(root: &Path, folder: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if IGNORED.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
    Ok(())
}

/// What stands beside the files of the repository and is no part of it.
const IGNORED: [&str; 6] =
    [".git", "target", "fuzz/target", "fuzz/corpus", "fuzz/artifacts", "fuzz/coverage"];

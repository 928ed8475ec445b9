//! What others say of the packages: `lintian`, `rpmlint`, and of what is in them `shellcheck` and `logrotate`.
//!
//! What the packages do is not looked at here.

use std::path::PathBuf;

use crate::dist::packages_in;
use crate::dist::release::Release;
use crate::dist::tools::{is_there, run, show, tool};
use crate::dist::trial::scripts;

/// Has each judge look. Those that are not here are passed over, and returned as reasons for it.
pub(super) fn ask(release: &Release) -> Result<Vec<String>, String> {
    let packages = packages_in(&release.folder)?;
    let ending = |ending: &str| -> Vec<PathBuf> {
        packages.iter().filter(|path| path.extension().is_some_and(|it| it == ending)).cloned().collect()
    };
    let mut skipped = Vec::new();
    let mut is_asked = |judge: &str| {
        let is_there = is_there(judge);
        if is_there {
            println!("\n==> dist: {judge}");
        } else {
            skipped.push(format!("{judge} is not here"));
        }
        is_there
    };
    if is_asked("shellcheck") {
        run(tool("shellcheck").current_dir(&release.root).args(SCRIPTS).args(scripts(&release.root)?))?;
        let inside = release.folder.join("trees/deb/DEBIAN");
        run(tool("shellcheck").current_dir(inside).args(["postinst", "prerm", "postrm"]))?;
    }
    if is_asked("logrotate") {
        let example = release.root.join("packaging/logrotate/procmgr");
        run(tool("logrotate").args(["--debug", "--state", "/dev/null"]).arg(example))?;
    }
    if is_asked("lintian") {
        let options = ["--allow-root", "--fail-on", "error", "--tag-display-limit", "0", "--display-info"];
        let told = run(tool("lintian").args(options).args(ending("deb")))?;
        print!("{told}");
        if told.contains(" unused-override ") {
            return Err("dist: packaging/debian/lintian-overrides has more than it needs".to_owned());
        }
    }
    if is_asked("rpmlint") {
        show(tool("rpmlint").arg("--rpmlintrc").arg(release.root.join(FILTERS)).args(ending("rpm")))?;
    }
    Ok(skipped)
}

/// The scripts that are packed as they are.
const SCRIPTS: [&str; 2] = ["packaging/sysv/procmgr", "packaging/openrc/procmgr"];

const FILTERS: &str = "packaging/rpm/rpmlint.conf";

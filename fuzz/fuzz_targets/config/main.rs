//! Whole configuration files: each means what the naive reading makes of it, and what is found in one is fit to be
//! shown.
//!
//! How files are opened and trusted is not asked here.

#![no_main]

mod naive;

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use procmgr_config::diagnostic::{Diagnostic, Findings, Severity};
use procmgr_config::fuzz::{self, parse, socket_path};
use procmgr_config::lint::Place;

fuzz_target!(|text: &[u8]| {
    let expected = naive::read(text);
    let findings = match parse(text, Path::new(naive::DEFAULT_SOCKET)) {
        Ok(loaded) => {
            assert!(!loaded.findings.has_errors(), "a file with an error counts for nothing");
            assert_eq!(Some(&loaded.config), expected.as_ref());
            // A client reads less of the file, but the same.
            let found = socket_path(text).expect("there is no error in the file");
            assert_eq!(found.unwrap_or_else(|| naive::DEFAULT_SOCKET.into()), loaded.config.socket_path);
            loaded.findings
        }
        Err(findings) => {
            assert!(findings.has_errors(), "a file without an error counts");
            assert_eq!(None, expected, "{findings:?}");
            findings
        }
    };
    check(&findings, text);
    check_report(text, findings.has_errors());
});

/// Whoever checks the file is told of the same errors, and nothing but what may be shown.
fn check_report(text: &[u8], has_errors: bool) {
    let report = fuzz::check(text);
    assert_eq!(report.findings().any(|finding| finding.severity == Severity::Error), has_errors);
    for finding in report.findings() {
        assert!(finding.text.len() <= LONGEST_TEXT, "{} bytes", finding.text.len());
        assert!(finding.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{finding:?}");
        if let Some(Place { line: _, column, source }) = finding.place {
            assert!((1..=source.len() + 1).contains(&column), "{finding:?}");
        }
    }
}

fn check(findings: &Findings, text: &[u8]) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    // The last one tells how many there are beyond those that are told.
    assert!(findings.diagnostics.len() <= MAX_FINDINGS + 1, "{} findings", findings.diagnostics.len());
    let places = findings.diagnostics.iter().map(|finding| (finding.line, finding.column));
    assert!(places.is_sorted(), "{findings:?}");
    for finding in &findings.diagnostics {
        let Diagnostic { line, column, severity: _, kind: _, text } = finding;
        let line = lines.get(line.wrapping_sub(1)).expect("a finding has a line of the file");
        assert!((1..=line.len() + 1).contains(column), "{finding}");
        assert!(text.len() <= LONGEST_TEXT, "{} bytes", text.len());
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    }
}

const MAX_FINDINGS: usize = 100;

/// Two names that are quoted and cut, and a sentence around them.
const LONGEST_TEXT: usize = 700;

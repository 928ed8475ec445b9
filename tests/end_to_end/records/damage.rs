//! Records that are damaged, in every way: what is whole counts, the rest is told and ignored, and nobody is harmed.
//!
//! Whole records that must not be believed are in `origins`.

use crate::records::lines::{Left, record};

/// What a daemon makes of the programs if both are on record, one of them, or none.
const BOTH: &str = "p: running adopted\nq: running adopted\n";
const FIRST: &str = "p: running adopted\nq: dead\n";
const LAST: &str = "p: dead\nq: running adopted\n";
const NONE: &str = "p: dead\nq: dead\n";

impl Left {
    /// Returns how many warnings of damage there have been.
    fn complaints(&self) -> usize {
        self.sandbox.logged(" damaged records in ") + self.sandbox.logged(" are ignored: ")
    }
}

#[test]
fn of_a_file_that_was_cut_the_whole_records_count() {
    let mut left = Left::new();
    let records = left.records.clone();
    let [header, first, _] = left.lines().map(<[u8]>::len);
    let ends = [header, header + first, records.len()];
    let around = ends.iter().flat_map(|end| [end - 1, *end, end + 1]).filter(|cut| *cut <= records.len());
    let samples: Vec<usize> = (0..records.len()).step_by(97).chain(around).collect();

    for cut in samples {
        let before = left.complaints();
        let list = left.list_after(&records[..cut]);

        let expected = match cut {
            _ if cut < header + first => NONE,
            _ if cut < records.len() => FIRST,
            _ => BOTH,
        };
        assert_eq!(list, expected, "cut at {cut}");
        assert_eq!(left.complaints() - before, usize::from(!ends.contains(&cut)), "cut at {cut}");
    }
}

#[test]
fn a_line_of_garbage_harms_no_other() {
    let mut left = Left::new();
    let [header, first, last] = left.lines().map(<[u8]>::to_vec);
    let garbage =
        [b"\n".to_vec(), b"garbage\n".to_vec(), vec![0; 3], b"\xff\xfe\n".to_vec(), vec![b'x'; 3_000_000]];
    for mut line in garbage {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let before = left.sandbox.logged("WARN: 1 damaged records in ");
        assert_eq!(left.list_after(&[&header, &line, &last[..]].concat()), LAST);
        assert_eq!(left.list_after(&[&header, &first, &line[..]].concat()), FIRST);
        assert_eq!(left.sandbox.logged("WARN: 1 damaged records in "), before + 2);
        assert_eq!(left.list_after(&[&line, &first, &last[..]].concat()), NONE);
    }
    assert_eq!(left.sandbox.logged("WARN: the records in "), 5);
    assert_eq!(left.sandbox.logged("are ignored: they do not begin as records do\n"), 5);
}

#[test]
fn bits_that_were_flipped_cost_their_record_at_the_most() {
    let mut left = Left::new();
    let records = left.records.clone();
    let [header, first, _] = left.lines().map(<[u8]>::len);
    for place in (0..records.len()).step_by(61) {
        let mut damaged = records.clone();
        damaged[place] ^= 1 << (place % 8);

        let list = left.list_after(&damaged);

        // A newline that is gone makes one line of two, and one that is new makes two of one.
        let possible: &[&str] = match place {
            _ if place < header => &[NONE],
            _ if place < header + first - 1 => &[LAST, BOTH],
            _ if place == header + first - 1 => &[NONE],
            _ => &[FIRST, BOTH],
        };
        assert!(possible.contains(&list.as_str()), "{place}: {list}");
    }
}

#[test]
fn what_has_another_shape_is_damaged_however_right_its_checksum_is() {
    let mut left = Left::new();
    let [header, _, last] = left.lines().map(<[u8]>::to_vec);
    let main = left.mains[0].to_string();
    let deep = "[".repeat(100_000);
    let texts = [
        "",
        "x",
        "[1,2]",
        "{}",
        "null",
        r#"{"program":"p"}"#,
        r#"{"memory":"stopped"}"#,
        r#"{"program":5,"memory":"stopped"}"#,
        r#"{"program":"p","memory":"unheard-of"}"#,
        r#"{"program":"p","memory":{"due":{"at":-1}}}"#,
        r#"{"program":"p","memory":{"due":{"at":1e300}}}"#,
        r#"{"program":"p","memory":{"running":{"former":null,"aim":"run"}}}"#,
        "{\"program\":\"\u{20ac}\",\"memory\":\"stopped\"}",
        r#"{"program":"p","memory":"stopped"} more"#,
        &deep,
    ];
    for (count, text) in texts.into_iter().enumerate() {
        let damaged = record(&main, 1, text);
        assert_eq!(left.list_after(&[&header, damaged.as_bytes(), &last].concat()), LAST, "{text}");
        assert_eq!(left.sandbox.logged("WARN: 1 damaged records in "), count + 1, "{text}");
    }
}

#[test]
fn pids_that_nobody_can_have_do_no_harm() {
    let mut left = Left::new();
    let [header, first, last] = left.lines().map(|line| String::from_utf8(line.to_vec()).unwrap());
    let text = &first[41..first.len() - 1];
    let started = first[20..40].parse().unwrap();
    for pid in
        ["9999999999", "4294967296", "2147483648", "2147483647", "4194305", "0", "-1", "+5", "         7"]
    {
        let records = format!("{header}{}{last}", record(pid, started, text));
        assert_eq!(left.list_after(records.as_bytes()), LAST, "{pid}");
    }
}

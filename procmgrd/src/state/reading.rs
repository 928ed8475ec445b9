//! Reads what an earlier daemon has left on record.
//!
//! Whatever is damaged is passed over, and told; whether the processes in it live, `wards` finds out.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use procmgr_config::ProgramName;

use crate::clock::Clock;
use crate::state::header::{self, Life};
use crate::state::line;
use crate::state::stored::StoredProgram;
use crate::supervisor::memory::Memory;

/// What is on record.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Of each program the last record, in the order in which the programs were put on record first.
    pub(crate) memories: Vec<(ProgramName, Memory)>,
    /// How many records were damaged.
    pub(crate) damaged: usize,
}

/// Reads the records in a file.
///
/// # Errors
/// Why none of them can be used.
pub(crate) fn read(file: File, life: &Life, clock: Clock) -> Result<Reading, String> {
    let mut file = BufReader::new(file);
    let first = read_line(&mut file).map_err(|error| format!("they cannot be read: {error}"))?;
    header::check(&first, life)?;
    let mut reading = Reading::default();
    let mut places: HashMap<ProgramName, usize> = HashMap::new();
    loop {
        let record = match read_line(&mut file) {
            Ok(record) if record.is_empty() => return Ok(reading),
            Ok(record) => record,
            Err(_) => {
                reading.damaged += 1;
                return Ok(reading);
            }
        };
        let record = line::parse(&record)
            .and_then(|(main, text)| Some((main, serde_json::from_slice::<StoredProgram>(text).ok()?)));
        let Some((main, stored)) = record else {
            reading.damaged += 1;
            continue;
        };
        let (program, memory) = stored.understand(main, clock);
        if let Some(place) = places.get(&program) {
            reading.memories[*place].1 = memory;
        } else {
            places.insert(program.clone(), reading.memories.len());
            reading.memories.push((program, memory));
        }
    }
}

/// Returns the next line with its newline; the last one may have none, and there is none after it.
fn read_line(file: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let part = match file.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            part => part?,
        };
        let end = part.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
        let count = end.unwrap_or(part.len());
        // What is no record may be as long as it likes.
        line.try_reserve(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
        line.extend_from_slice(&part[..count]);
        file.consume(count);
        if end.is_some() || count == 0 {
            return Ok(line);
        }
        if line.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// More than a record can have, however its script is written: the configuration file has a bound as well.
const LONGEST: usize = 1 << 29;

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::clock::timestamp;
    use crate::supervisor::memory::Past;

    const STOPPED: Memory = Memory::Stopped(Past { restarts: 0, row: 0, last_exit: None });

    fn line(program: &str, memory: &Memory, clock: Clock) -> Vec<u8> {
        let (stored, main) = StoredProgram::new(&ProgramName::new(program.as_bytes()), memory, clock);
        line::compose(main, serde_json::to_string(&stored).unwrap().as_bytes())
    }

    fn file(parts: &[&[u8]]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&parts.concat()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn of_each_program_the_last_record_counts() {
        let (clock, life) = (Clock::now(), Life::present().unwrap());
        let due = Memory::Due { at: timestamp(), past: Past { restarts: 2, ..Past::default() } };
        let file = file(&[
            &header::compose(&life),
            &line("a", &STOPPED, clock),
            &line("b", &due, clock),
            &line("a", &Memory::Nothing, clock),
        ]);
        let reading = read(file, &life, clock).unwrap();
        let name = |name: &[u8]| ProgramName::new(name);
        assert_eq!(reading.memories, [(name(b"a"), Memory::Nothing), (name(b"b"), due)]);
        assert_eq!(reading.damaged, 0);
    }

    #[test]
    fn what_is_damaged_is_counted_and_harms_no_other_record() {
        let (clock, life) = (Clock::now(), Life::present().unwrap());
        let (header, good) = (header::compose(&life), line("a", &STOPPED, clock));
        let nonsense = line::compose(None, b"[1,2]");
        let deep = line::compose(None, "[".repeat(100_000).as_bytes());
        let mut flipped = line("c", &STOPPED, clock);
        flipped[50] ^= 1;
        for (damage, count) in
            [(&b"garbage\n"[..], 1), (b"\n\n", 2), (&[0; 1000], 0), (&nonsense, 1), (&deep, 1), (&flipped, 1)]
        {
            let reading = read(file(&[&header, damage, &good]), &life, clock).unwrap();
            let name = String::from_utf8_lossy(&damage[..damage.len().min(20)]).into_owned();
            if count > 0 {
                assert_eq!((reading.memories.len(), reading.damaged), (1, count), "{name}");
            } else {
                // Without a newline between them both are one line.
                assert_eq!((reading.memories.len(), reading.damaged), (0, 1), "{name}");
            }
        }
        for length in 0..good.len() {
            let reading = read(file(&[&header, &good[..length]]), &life, clock).unwrap();
            assert_eq!((reading.memories.len(), reading.damaged), (0, usize::from(length > 0)), "{length}");
        }
    }

    #[test]
    fn records_of_another_life_are_not_used_at_all() {
        let (clock, life) = (Clock::now(), Life::present().unwrap());
        let good = line("a", &STOPPED, clock);
        read(file(&[b"procmgr-state 2 boot other in pid:[1]\n", &good]), &life, clock).unwrap_err();
        read(file(&[]), &life, clock).unwrap_err();
        read(file(&[&[0xff; 5000]]), &life, clock).unwrap_err();
    }
}

//! Figures: how long something took so many times, and the table that tells it.
//!
//! Where they come from is not known here.

use std::fmt;
use std::time::Duration;

use crate::bench::crowd::attacker::Tally;
use crate::bench::crowd::daemon::Usage;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A request over a connection of its own.
    Request,
    /// The whole process of a client.
    Client,
    /// A process that does nothing: what the machine takes under the same load.
    Floor,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Request, Self::Client, Self::Floor];
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Request => "request",
            Self::Client => "procmgr p status",
            Self::Floor => "/bin/true",
        })
    }
}

/// What a request was answered with, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was carried out.
    Served,
    /// It was not.
    Refused,
}

/// How long each time took, and what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<(Way, Duration, Answer)>);

impl Samples {
    /// Returns a sample as a line of text.
    pub(super) fn line(way: Way, time: Duration, answer: Answer) -> String {
        format!("{} {} {}", way as u8, time.as_nanos(), u8::from(answer == Answer::Refused))
    }

    /// Reads lines of samples.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.lines().map(parse_line).collect::<Option<_>>().map(Self)
    }

    /// Returns how long it took to be served in this way.
    pub(super) fn of(&self, way: Way) -> impl Iterator<Item = Duration> {
        let served = move |sample: &&(Way, Duration, Answer)| sample.0 == way && sample.2 == Answer::Served;
        self.0.iter().filter(served).map(|(_, time, _)| *time)
    }

    fn refused(&self, way: Way) -> usize {
        self.0.iter().filter(|sample| sample.0 == way && sample.2 == Answer::Refused).count()
    }

    /// Returns the time that so many of a hundred have not exceeded. Whoever was refused has waited in vain.
    fn percentile(&self, way: Way, percent: usize) -> Option<Duration> {
        let mut times: Vec<Duration> = self.of(way).collect();
        times.sort_unstable();
        let count = times.len() + self.refused(way);
        let rank = (count * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied()
    }
}

fn parse_line(line: &str) -> Option<(Way, Duration, Answer)> {
    let mut words = line.split(' ');
    let way: u8 = words.next()?.parse().ok()?;
    let way = Way::ALL.into_iter().find(|it| *it as u8 == way)?;
    let time = Duration::from_nanos(words.next()?.parse().ok()?);
    let answer = if words.next()? == "0" { Answer::Served } else { Answer::Refused };
    Some((way, time, answer))
}

/// What a scenario has come to.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) samples: Samples,
    pub(super) tally: Tally,
    pub(super) before: Usage,
    pub(super) amidst: Usage,
    pub(super) after: Usage,
}

/// All scenarios.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Returns whether 99 of 100 were served within the goal, in every scenario.
    pub(super) fn judge(&self, goal: Duration) -> Verdict {
        let ways = |row| [Way::Request, Way::Client].map(|way| (row, way));
        let misses = self
            .0
            .iter()
            .flat_map(ways)
            .filter(|(row, way)| row.samples.percentile(*way, 99).is_none_or(|time| time > goal));
        Verdict { goal, misses: misses.map(|(row, way)| format!("{}: {way}", row.name)).collect() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Times in milliseconds:")?;
        writeln!(
            formatter,
            "{:<19} {:<16} {:>7} {:>7} {:>8} {:>8} {:>8}",
            "scenario", "what", "served", "refused", "p50", "p99", "max"
        )?;
        for Row { name, samples, .. } in &self.0 {
            for way in Way::ALL {
                let (served, refused) = (samples.of(way).count(), samples.refused(way));
                write!(formatter, "{name:<19} {way:<16} {served:>7} {refused:>7}")?;
                for percent in [50, 99] {
                    write!(formatter, " {:>8}", shown(samples.percentile(way, percent)))?;
                }
                writeln!(formatter, " {:>8}", shown(samples.of(way).max()))?;
            }
        }
        writeln!(
            formatter,
            "\n{:<19} {:>9} {:>9} {:>9} {:>9}  {:<22}  descriptors",
            "scenario", "connected", "closed", "answered", "held", "memory in KiB"
        )?;
        for Row { name, tally, before, amidst, after, .. } in &self.0 {
            let held = amidst.descriptors.saturating_sub(before.descriptors);
            let change = |number: fn(&Usage) -> String| {
                format!("{} > {} > {}", number(before), number(amidst), number(after))
            };
            writeln!(
                formatter,
                "{name:<19} {:>9} {:>9} {:>9} {held:>9}  {:<22}  {}",
                tally.connected,
                tally.refused,
                tally.answered,
                change(|usage| usage.memory.to_string()),
                change(|usage| usage.descriptors.to_string()),
            )?;
        }
        writeln!(formatter, "(before, at the end of, and after the attack)")
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * 1000.0))
}

/// Whether the goal is met.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    goal: Duration,
    /// What was too slow.
    misses: Vec<String>,
}

impl Verdict {
    pub(super) fn is_good(&self) -> bool {
        self.misses.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Goal: 99 of 100 are served within {} ms: ", self.goal.as_millis())?;
        if self.is_good() {
            write!(formatter, "met")
        } else {
            write!(formatter, "missed by {}", self.misses.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(answers: &[(u64, Answer)]) -> Samples {
        let sample = |(time, answer): &(u64, Answer)| (Way::Request, Duration::from_millis(*time), *answer);
        Samples(answers.iter().map(sample).collect())
    }

    #[test]
    fn a_percentile_is_the_time_that_so_many_have_not_exceeded() {
        let hundred: Vec<_> = (1..=100).rev().map(|time| (time, Answer::Served)).collect();
        let samples = samples(&hundred);
        for percent in [1, 50, 99, 100] {
            let time = Duration::from_millis(percent as u64);
            assert_eq!(samples.percentile(Way::Request, percent), Some(time));
        }
        assert_eq!(samples.percentile(Way::Client, 50), None);
    }

    #[test]
    fn whoever_is_refused_has_waited_for_ever() {
        let samples = samples(&[(1, Answer::Served), (2, Answer::Refused), (3, Answer::Served)]);
        assert_eq!(samples.percentile(Way::Request, 50), Some(Duration::from_millis(3)));
        assert_eq!(samples.percentile(Way::Request, 99), None);
    }

    #[test]
    fn samples_survive_the_way_through_a_pipe() {
        let given = [(Way::Request, Answer::Served), (Way::Floor, Answer::Refused)];
        let lines = given.map(|(way, answer)| Samples::line(way, Duration::from_nanos(7), answer));
        let text = lines.join("\n");
        let samples = Samples::parse(&text).unwrap();
        assert_eq!(samples.of(Way::Request).collect::<Vec<_>>(), [Duration::from_nanos(7)]);
        assert_eq!((samples.refused(Way::Request), samples.refused(Way::Floor)), (0, 1));
        assert!(Samples::parse("0 seven 0\n").is_none());
    }
}

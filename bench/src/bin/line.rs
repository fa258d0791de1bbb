//! Counts the instructions of a client's report, from the bytes in the buffer to the bytes of the reply, and those of
//! what a neighbour tells, and times them.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use proxyherd_bench::line::stream::{Places, Reports, Shape, Speaker};
use proxyherd_bench::line::{instructions, time};
use proxyherd_bench::process::Failure;
use proxyherd_bench::suite::stats::Stats;
use proxyherd_bench::table::table;
use serde_json::{Map, Value, json};

/// How many lines there are in a buffer. The first is the one that is quoted.
const LINES_PER_BUFFER: [usize; 3] = [16, 1, 64];

/// The streams, by the names that they have in the results.
const STREAMS: [(&str, Speaker, Reports, Places); 6] = [
    ("known_1_7", Speaker::Client, Reports::Known, Places::OneToSeven),
    ("new_1_7", Speaker::Client, Reports::New, Places::OneToSeven),
    ("known_6", Speaker::Client, Reports::Known, Places::Six),
    ("new_6", Speaker::Client, Reports::New, Places::Six),
    ("told_known_6", Speaker::Neighbour, Reports::Known, Places::Six),
    ("told_new_6", Speaker::Neighbour, Reports::New, Places::Six),
];

/// Counts the instructions of a client's report, from the bytes in the buffer to the bytes of the reply, and those of
/// what a neighbour tells, and times them.
#[derive(Parser)]
#[command(name = "line", version)]
struct Options {
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// Measure nanoseconds instead of instructions, without callgrind.
    #[arg(long)]
    time: bool,
    /// Rounds that are timed; all streams take turns.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=999))]
    rounds: u32,
    /// Take one stream and say how many lines counted: this is what callgrind watches.
    #[arg(long)]
    once: bool,
    /// Who says that stream.
    #[arg(long, requires = "once", default_value = "client")]
    speaker: Speaker,
    /// The reports of that stream.
    #[arg(long, requires = "once", default_value = "known")]
    reports: Reports,
    /// The decimal places in that stream.
    #[arg(long, requires = "once", default_value = "1-7")]
    places: Places,
    /// The lines of a buffer of that stream.
    #[arg(long, requires = "once", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    lines_per_buffer: u8,
}

fn main() -> ExitCode {
    match work(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone too, the exit code still says it.
            let _ = writeln!(io::stderr(), "line: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(options: &Options) -> Result<(), Failure> {
    let mut said = io::stdout();
    if options.once {
        let &Options { speaker, reports, places, lines_per_buffer, .. } = options;
        let lines_per_buffer = lines_per_buffer.into();
        let lines = instructions::once(Shape { speaker, reports, places, lines_per_buffer })?;
        return Ok(writeln!(said, "{lines}")?);
    }
    let figures = if options.time { timed(options.rounds)? } else { counted()? };
    if options.json {
        return Ok(writeln!(said, "{}", in_json(&figures))?);
    }
    let unit = if options.time { "nanoseconds" } else { "instructions" };
    let titles = [&format!("{unit} of a line, by lines per buffer"), "1", "16", "64"];
    let row = |(at, (name, ..)): (usize, &(&str, Speaker, Reports, Places))| {
        let [sixteen, one, many] = figures.map(|streams| format!("{:.0}", streams[at]));
        vec![(*name).to_owned(), one, sixteen, many]
    };
    write!(said, "{}", table(&titles, &STREAMS.iter().enumerate().map(row).collect::<Vec<_>>()))?;
    Ok(())
}

/// By lines per buffer, and in these by stream.
type Figures = [[f64; STREAMS.len()]; LINES_PER_BUFFER.len()];

fn counted() -> Result<Figures, Failure> {
    each(instructions::per_line)
}

/// The medians of all rounds.
fn timed(rounds: u32) -> Result<Figures, Failure> {
    let rounds = (0..rounds).map(|_| each(time::per_line)).collect::<Result<Vec<_>, _>>()?;
    let mut medians = Figures::default();
    for (lines, streams) in medians.iter_mut().enumerate() {
        for (stream, figure) in streams.iter_mut().enumerate() {
            let stats = Stats::of(rounds.iter().map(|round| round[lines][stream]));
            *figure = stats.ok_or("the clock stands still")?.median;
        }
    }
    Ok(medians)
}

fn each(per_line: impl Fn(Shape) -> Result<f64, Failure>) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    for (streams, lines_per_buffer) in figures.iter_mut().zip(LINES_PER_BUFFER) {
        for (figure, (_, speaker, reports, places)) in streams.iter_mut().zip(STREAMS) {
            *figure = per_line(Shape { speaker, reports, places, lines_per_buffer })?;
        }
    }
    Ok(figures)
}

/// The streams with sixteen lines per buffer, and all of them by lines per buffer.
fn in_json(figures: &Figures) -> Value {
    let streams = |figures: &[f64; STREAMS.len()]| -> Map<String, Value> {
        let rounded = figures.iter().map(|figure| json!((figure * 10.0).round() / 10.0));
        STREAMS.iter().map(|(name, ..)| (*name).to_owned()).zip(rounded).collect()
    };
    let mut all = streams(&figures[0]);
    let by_lines = LINES_PER_BUFFER.iter().zip(figures);
    let by_lines: Map<String, Value> =
        by_lines.map(|(lines, figures)| (lines.to_string(), streams(figures).into())).collect();
    all.insert("by_lines_per_buffer".to_owned(), by_lines.into());
    all.into()
}

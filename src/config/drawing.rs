//! A picture of the links between servers, in plain ASCII.

use std::fmt::Write as _;

use super::herd::Herd;

/// Links drawn as columns of three characters; with more, a terminal would fold them into nonsense, and
/// a list says more.
const DRAWN_LINKS_MAX: usize = 30;

/// A picture of the links. Each server is a horizontal line and each link a vertical one, whose two `o`
/// are its ends; a herd of many links is listed instead, a line for each server.
///
/// ```text
/// Alford    --o--o
///             |  |
/// Bolden    --|--|--o--o
///             |  |  |  |
/// Hamilton  --|--|--|--|--o
///             |  |  |  |  |
/// Parker    --o--|--o--|--o
///                |     |
/// Powell    -----o-----o
/// ```
pub fn draw(herd: &Herd) -> String {
    if herd.links().len() > DRAWN_LINKS_MAX { listing(herd) } else { wiring(herd) }
}

fn wiring(herd: &Herd) -> String {
    let width = name_width(herd);
    let at = |name: &str| herd.index(name).expect("both ends of a checked link are members");
    let links: Vec<(usize, usize)> =
        herd.links().iter().map(|(a, b)| (at(a.as_str()), at(b.as_str()))).collect();
    let mut text = String::new();
    for (row, member) in herd.members().iter().enumerate() {
        let mut wire = String::new();
        let mut below = String::new();
        let mut wire_ends = 0;
        for &(top, bottom) in &links {
            let end = row == top || row == bottom;
            wire.push_str(match (end, top < row && row < bottom) {
                (true, _) => "--o",
                (false, true) => "--|",
                (false, false) => "---",
            });
            below.push_str(if top <= row && row < bottom { "  |" } else { "   " });
            if end {
                wire_ends = wire.len();
            }
        }
        // Right of its last link a server's line would lead nowhere, so only the others' links go on.
        let beyond = wire.split_off(wire_ends).replace('-', " ");
        let line = format!("{:width$}  {wire}{beyond}", member.name);
        let _ = writeln!(text, "{}", line.trim_end());
        if row + 1 < herd.members().len() {
            let _ = writeln!(text, "{}", format!("{:width$}  {below}", "").trim_end());
        }
    }
    text
}

fn listing(herd: &Herd) -> String {
    let width = name_width(herd);
    let mut text = String::new();
    for member in herd.members() {
        let neighbours = herd.neighbours(&member.name);
        let names: Vec<&str> = neighbours.iter().map(|it| it.name.as_str()).collect();
        let _ = writeln!(text, "{:width$}  -- {}", member.name, names.join(" "));
    }
    text
}

fn name_width(herd: &Herd) -> usize {
    herd.members().iter().map(|member| member.name.as_str().len()).max().unwrap_or(0)
}

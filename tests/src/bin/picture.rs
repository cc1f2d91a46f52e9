//! Draws what a terminal shows as an SVG: `CLICOLOR_FORCE=1 demo | picture > docs/demo.svg`.

use std::io::{self, Read, Write};

/// Of a monospaced font at 13 px; each run of text is stretched to whole cells, so that tables stay
/// aligned in whatever font the reader has.
const CELL_WIDTH: f64 = 7.8;
const LINE_HEIGHT: f64 = 17.0;
const MARGIN: f64 = 16.0;

const BACKGROUND: &str = "#0d1117";
const PLAIN: &str = "#c9d1d9";
const DIM: &str = "#8b949e";

/// What an escape sequence has set.
#[derive(Clone, Copy)]
struct Style {
    color: &'static str,
    bold: bool,
}

const RESET: Style = Style {
    color: PLAIN,
    bold: false,
};

impl Style {
    /// `parameters` of a "select graphic rendition" sequence, as the demo uses them.
    fn apply(&mut self, parameters: &str) {
        match parameters {
            "" | "0" => *self = RESET,
            "1" => self.bold = true,
            "2" | "38;5;8" => self.color = DIM,
            "31" | "38;5;9" => self.color = "#ff7b72",
            "32" | "38;5;10" => self.color = "#7ee787",
            "33" | "38;5;11" => self.color = "#e3b341",
            "36" | "38;5;14" => self.color = "#79c0ff",
            _ => self.color = PLAIN,
        }
    }
}

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let lines: Vec<&str> = text.trim_matches('\n').lines().collect();
    let columns = lines.iter().map(|line| columns(line)).max().unwrap_or(0);
    let width = MARGIN * 2.0 + columns as f64 * CELL_WIDTH;
    let height = MARGIN * 2.0 + lines.len() as f64 * LINE_HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut style = RESET;
    for (row, line) in lines.iter().enumerate() {
        draw(
            line,
            MARGIN + (row as f64 + 0.75) * LINE_HEIGHT,
            &mut style,
            &mut svg,
        );
    }
    svg.push_str("</svg>\n");
    io::stdout().write_all(svg.as_bytes())
}

/// Pieces between escape sequences, each with the parameters of the sequence before it.
fn pieces(line: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    line.split("\u{1b}[").enumerate().map(|(index, piece)| {
        if index == 0 {
            return (None, piece);
        }
        let (parameters, text) = piece.split_once('m').unwrap_or((piece, ""));
        (Some(parameters), text)
    })
}

fn columns(line: &str) -> usize {
    pieces(line).map(|(_, text)| text.chars().count()).sum()
}

fn draw(line: &str, y: f64, style: &mut Style, svg: &mut String) {
    let mut column = 0;
    for (parameters, text) in pieces(line) {
        if let Some(parameters) = parameters {
            style.apply(parameters);
        }
        let cells = text.chars().count();
        if !text.trim().is_empty() {
            let x = MARGIN + f64::from(u32::try_from(column).unwrap_or(0)) * CELL_WIDTH;
            let length = cells as f64 * CELL_WIDTH;
            let weight = if style.bold {
                " font-weight=\"700\""
            } else {
                ""
            };
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
            svg.push_str(&format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
                 xml:space=\"preserve\" fill=\"{}\"{weight}>{escaped}</text>\n",
                style.color
            ));
        }
        column += cells;
    }
}

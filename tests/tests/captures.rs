//! Recordings kept in `captures/`: what they gave when they were made they give today, however their
//! bytes are cut.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wirespan_tests::agent::replay_with;
use wirespan_tests::{Span, process, rewrite, tools};

/// Pieces of at most so many bytes, and the seed of where they are cut.
const CUTS: [(usize, u64); 6] = [(1, 0), (3, 1), (17, 2), (100, 3), (1_500, 4), (9_000, 5)];

fn captures() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wsrec")
    });
    files.sort();
    ensure!(!files.is_empty(), "no captures in {}", folder.display());
    Ok(files)
}

fn expected(capture: &Path) -> Result<Vec<Span>> {
    let file = capture.with_extension("jsonl");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let mut spans = Span::parse_lines(&text)?;
    // The version is not part of what a parser finds.
    spans.iter_mut().for_each(without_version);
    Ok(sorted(spans))
}

fn without_version(span: &mut Span) {
    span.parser
        .truncate(span.parser.find('@').unwrap_or(span.parser.len()));
}

/// Spans of several connections may come in another order.
fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|one, other| one.span_id.cmp(&other.span_id));
    spans
}

fn replayed(file: &Path) -> Result<Vec<Span>> {
    // What is inferred for names depends on what came before; what a parser says does not.
    let mut spans = replay_with(file, &["--no-route-templates"])?;
    spans.iter_mut().for_each(without_version);
    Ok(sorted(spans))
}

fn assert_same(found: &[Span], expected: &[Span], what: &str) {
    for (one, other) in found.iter().zip(expected) {
        assert_eq!(one, other, "{what}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of spans");
}

#[test]
fn captures_give_what_they_gave() -> Result<()> {
    for capture in captures()? {
        assert_same(
            &replayed(&capture)?,
            &expected(&capture)?,
            &capture.display().to_string(),
        );
    }
    Ok(())
}

#[test]
fn captures_cut_at_other_places_give_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for capture in captures()? {
        let expected = expected(&capture)?;
        for (longest, seed) in CUTS {
            let file = folder.path().join("cut.wsrec");
            rewrite::recut(&capture, &file, seed, longest)?;
            let what = format!(
                "{} cut at {longest} bytes with seed {seed}",
                capture.display()
            );
            assert_same(&replayed(&file)?, &expected, &what);
        }
    }
    Ok(())
}

#[test]
fn paths_are_named_by_templates_unless_told_otherwise() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/http-nginx-plain.wsrec");
    let mut templates = 0;
    for span in replay_with(&file, &[])? {
        let method = span.text("http.request.method").unwrap_or_default();
        match span.text("url.template") {
            Some(template) => {
                templates += 1;
                assert_eq!(span.name, format!("{method} {template}"));
                assert!(
                    !template.contains(|c: char| c.is_ascii_digit()),
                    "{template}"
                );
            }
            None => assert_eq!(span.name, method),
        }
    }
    assert!(templates > 0);
    let spans = replay_with(&file, &["--no-route-templates"])?;
    assert!(spans.iter().all(|span| span.text("url.template").is_none()));
    Ok(())
}

/// What is the same of a span however its bytes came: not its identity, which is that of the file,
/// nor who the process was, which packets do not say.
fn essence(spans: &[Span]) -> Vec<String> {
    let mut lines: Vec<String> = spans
        .iter()
        .map(|span| {
            let mut attributes = span.attributes.clone();
            attributes.sort_keys();
            let attributes = serde_json::to_string(&attributes).unwrap_or_default();
            let times = (
                span.start_unix_nano,
                span.request_end_unix_nano,
                span.response_start_unix_nano,
                span.end_unix_nano,
            );
            let what = (&span.name, &span.kind, &span.status, &span.flags);
            format!("{what:?} {times:?} {attributes}")
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn captures_written_as_packets_give_the_same_and_wireshark_reads_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for capture in captures()? {
        let file = folder.path().join("packets.pcapng");
        let name = file.to_string_lossy().into_owned();
        let recorded = replay_with(&capture, &["--no-route-templates", "--pcapng", &name])?;
        let packets = replay_with(&file, &["--no-route-templates"])?;
        let what = capture.display();
        let (recorded_lines, packet_lines) = (essence(&recorded), essence(&packets));
        for (one, other) in recorded_lines.iter().zip(&packet_lines) {
            assert_eq!(one, other, "{what}");
        }
        assert_eq!(recorded.len(), packets.len(), "{what}");
        // Requests that are whole are told by the dissector too.
        let requests = process::run(
            folder.path(),
            &tools::program("tshark")?,
            [
                "-r",
                &name,
                "-Y",
                "http.request",
                "-T",
                "fields",
                "-e",
                "http.request.method",
            ],
            Duration::from_secs(60),
        )?;
        assert!(requests.status.success(), "{what}: {}", requests.errors);
        let whole = |span: &&Span| span.text("http.request.method").is_some();
        // Each exchange stands in the file once for each end that was recorded; to the dissector most
        // of the second ends are retransmissions. Pipelined ones are told in one line.
        let methods = requests.output.lines().flat_map(|line| line.split(','));
        let (seen, told) = (methods.count(), recorded.iter().filter(whole).count());
        assert!(
            seen > 0 && seen <= told && told <= 2 * seen,
            "{what}: {seen} requests in Wireshark, {told} spans"
        );
    }
    Ok(())
}

//! How the host finds what it looks for among everything else on a serial console.

/// Prints a section that the host reads back.
pub(crate) fn section(name: &str, text: &str) {
    println!("\n<<<wirespan {name}");
    for line in text.lines() {
        println!("{line}");
    }
    println!(">>>wirespan {name}");
}

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: wirespan_fuzz::start("sql_strings"),
    |data: &[u8]| wirespan_fuzz::run(data)
);

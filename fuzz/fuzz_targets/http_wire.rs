#![no_main]

libfuzzer_sys::fuzz_target!(
    init: wirespan_fuzz::start("http_wire"),
    |data: &[u8]| wirespan_fuzz::run(data)
);

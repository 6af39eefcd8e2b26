#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| acr_pull_proxy::invariants::check("bucket_error", data));

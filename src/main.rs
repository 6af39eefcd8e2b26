//! The binary: hands its arguments to the library and ends with the code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    acr_pull_proxy::cli::run(std::env::args_os())
}

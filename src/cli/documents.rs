//! `completions` and `man`: what a package installs beside the binary, made from the command line as it is.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::Cli;
use super::output::{Failure, print};

/// Completions of one shell on standard output.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(shell, &mut command, name, &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// The manual page on standard output: one page for all commands, since they are few.
pub(super) fn manual() -> Result<(), Failure> {
    let text = page().map_err(|error| Failure::runtime(error.to_string(), "report this as a defect"))?;
    print(&text)
}

fn page() -> io::Result<String> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut text = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut text)?;
    whole.render_name_section(&mut text)?;
    whole.render_synopsis_section(&mut text)?;
    whole.render_description_section(&mut text)?;
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        text.extend(section(command)?.bytes());
    }
    whole.render_extra_section(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One command as a section, with what would be sections of a page of its own below it.
fn section(command: &Command) -> io::Result<String> {
    let mut text = Vec::new();
    let man = Man::new(command.clone());
    man.render_description_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
    Ok(format!(".SH \"{}\"\n{text}", command.get_name().to_uppercase()))
}

//! `siplane.1`, made from the command line as clap knows it: what `--help` tells, nothing else. The package installs it.

use clap::{Arg, Command};
use std::fmt::Write;

/// Where the page is kept.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/siplane.1");

/// Said here alone: `--help` has no place for it.
const FILES: [(&str, &str); 4] = [
    (super::DEFAULT_CONFIG, "The config; /usr/share/doc/siplane/siplane.toml has every key."),
    ("/run/siplane/ctl.sock", "The control socket, for root and the group siplane."),
    ("/run/siplane/rpc.sock", "The same for kamcli."),
    ("/var/lib/siplane/state.json", "What operators have said of destinations, kept over restarts."),
];

/// The whole page.
fn page(mut program: Command) -> String {
    program.build();
    let mut page = String::from(".\\\" Made by the test in src/cli/man.rs.\n");
    let version = program.get_version().unwrap_or_default();
    let _ = writeln!(page, ".TH SIPLANE 1 \"\" \"siplane {version}\" \"User Commands\"\n.SH NAME");
    let about = program.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "{}", text(&about).replacen("siplane: ", "siplane \\- ", 1));
    page += ".SH SYNOPSIS\n.B siplane\n.I COMMAND\n[options]\n.SH DESCRIPTION\n";
    let long = program.get_long_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "{}", paragraphs(long.split_once("\n\n").map_or("", |(_, rest)| rest)));
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        section(&mut page, command);
    }
    after(&mut page, &program);
    page += ".SH FILES\n";
    for (path, what) in FILES {
        let _ = writeln!(page, ".TP\n.I {}\n{}", text(path), text(what));
    }
    page + ".SH SEE ALSO\n/usr/share/doc/siplane/docs, and siplane\n.I COMMAND\n\\-\\-help\n"
}

/// A command that siplane has, and those that it has itself.
fn section(page: &mut String, command: &Command) {
    let _ = writeln!(page, ".SH {}", text(&command.get_name().to_uppercase()));
    one(page, command);
    let own: Vec<&Command> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
    for command in &own {
        let _ = writeln!(page, ".SS {}", text(command.get_bin_name().unwrap_or(command.get_name())));
        one(page, command);
        after(page, command);
    }
    after(page, command);
}

/// How a command is written, what it does, what it takes.
fn one(page: &mut String, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(page, ".B {}\n.PP", text(usage.trim_start_matches("Usage: ")));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(page, "{}", paragraphs(&about));
    // Those that all commands below it have, too, are told once.
    for argument in command.get_arguments().filter(|it| is_own(command, it)) {
        let _ = writeln!(page, ".TP\n.B {}\n{}", text(&argument.to_string()), paragraphs(&help(argument)));
    }
}

fn is_own(command: &Command, argument: &Arg) -> bool {
    let is_help = ["help", "version"].contains(&argument.get_id().as_str());
    !is_help && (!argument.is_global_set() || command.get_subcommands().next().is_some())
}

fn help(argument: &Arg) -> String {
    let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    for value in argument.get_possible_values() {
        let meaning = value.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(help, "\n{}: {meaning}", value.get_name());
    }
    let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !default.is_empty() {
        let _ = write!(help, " [default: {}]", default.join(" "));
    }
    help
}

fn after(page: &mut String, command: &Command) {
    if let Some(said) = command.get_after_help() {
        let _ = writeln!(page, ".PP\n.nf\n{}\n.fi", text(&said.to_string()));
    }
}

/// `plain` as roff has it, line by line: no character of it is a command there.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    let safe = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    escaped.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// The same where lines are filled: each begins anew, and a paragraph where an empty one is.
fn paragraphs(plain: &str) -> String {
    let paragraph = |plain: &str| text(plain).replace('\n', "\n.br\n");
    plain.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n.PP\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With SIPLANE_WRITE set in the environment it writes the page instead of comparing it.
    #[test]
    fn the_man_page_has_every_command_and_option_with_what_help_says_of_it() {
        let page = page(<crate::cli::Arguments as clap::CommandFactory>::command());
        if std::env::var_os("SIPLANE_WRITE").is_some() {
            std::fs::write(FILE, &page).unwrap();
        }
        let kept = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(
            kept == page,
            "{FILE} is not what the command line is: SIPLANE_WRITE=1 cargo test --lib man writes it anew"
        );
    }
}

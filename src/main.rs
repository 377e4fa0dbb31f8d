//! The program `ftchat`: see the library's head for the map.

fn main() -> std::process::ExitCode {
    ftchat::cli::main()
}

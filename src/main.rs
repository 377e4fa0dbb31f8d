//! The program `ftchat`: see the library's head for the map.

/// How it is tuned is said where it is built, in `.cargo/config.toml`.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    ftchat::cli::main()
}

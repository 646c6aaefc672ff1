# The README's commands, for those who use just.

# Build, prepare examples/workspace, start its servers
up:
    cargo xtask up

# All tests, the real servers included
test:
    cargo xtask test

# The tests that cause faults, and the page written from them
reliability *names:
    cargo xtask reliability {{names}}

# The long cases at full length
soak *names:
    cargo xtask soak {{names}}

# Any bytes to every reader, under libFuzzer
fuzz *arguments:
    cargo xtask fuzz {{arguments}}

# Everything that must hold before a change lands
ci:
    .ci/run

# Measure
bench *names:
    cargo xtask bench {{names}}

# What pipd promises, checked on this machine with stub services
selftest:
    cargo build --release --locked -p pipd
    {{justfile_directory()}}/target/release/pipctl selftest

# A wheel: programs, manual pages, completions
wheel:
    cargo xtask package wheel

# A Debian package of the same
deb:
    cargo xtask package deb

# Manual pages and completions, below target/release/share
man:
    cargo xtask package share
completions: man

# How big the programs and packages are
size:
    cargo xtask package size wheel deb

# The Nix flake: evaluated for all systems
flake:
    nix flake check --no-build

# Licences, bans and sources of what is depended on (--advisories: and what is known to be unsafe)
deny *arguments:
    cargo xtask deny {{arguments}}

# The README's commands, for those who use just.

# Build, prepare examples/workspace, start its servers
up:
    cargo xtask up

# All tests, the real servers included
test:
    cargo xtask test

# Everything that must hold before a change lands
ci:
    .ci/run

# Measure
bench *names:
    cargo xtask bench {{names}}

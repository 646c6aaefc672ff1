{
  description = "A Python workspace: JupyterLab and a web application, kept running by pipd";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = [ pkgs.python3 pkgs.git ];

          shellHook = ''
            ${pkgs.lib.optionalString pkgs.stdenv.isLinux ''
              # What compiled packages from the index are linked against.
              export LD_LIBRARY_PATH="${pkgs.lib.makeLibraryPath [ pkgs.stdenv.cc.cc.lib pkgs.zlib ]}''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
            ''}
            [ ! -d .venv/bin ] || export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"
            echo
            echo "  $(basename "$PWD")"
            echo
            if ! command -v pipctl >/dev/null; then
              echo "  pipctl is not on the PATH: cargo install --path crates/pipd, in a clone of pipd"
            elif [ ! -d .venv ]; then
              echo "  no environment yet: pipctl setup && pipctl start"
            else
              # Shows what runs; starts, installs and opens nothing.
              pipctl status 2>/dev/null || echo "  start: pipctl start    look: pipctl doctor"
            fi
          '';
        };
      });
    };
}

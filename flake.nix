{
  description = "pipd keeps the servers of a Python workspace running";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system} system);
      version = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).workspace.package.version;
    in
    {
      # pipctl, pipd and pipd-shim, side by side, with manual pages and completions.
      packages = each (
        pkgs: system: {
          default = pkgs.rustPlatform.buildRustPackage {
            pname = "pipd";
            inherit version;
            src = self;
            cargoLock.lockFile = ./Cargo.lock;
            cargoBuildFlags = [
              "--package"
              "pipd"
            ];
            # The tests want real servers, ports and a home: `cargo xtask test` in a clone.
            doCheck = false;
            postBuild = ''
              cargo run --offline --frozen --package pipctl --example man -- "$PWD/man"
            '';
            postInstall = ''
              mkdir -p $out/share/man/man1 $out/share/bash-completion/completions
              mkdir -p $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
              mkdir -p $out/lib/systemd/user
              cp man/*.1 $out/share/man/man1/
              sed "s|/usr/bin/pipd|$out/bin/pipd|" systemd/pipd.service > $out/lib/systemd/user/pipd.service
              $out/bin/pipctl completions bash > $out/share/bash-completion/completions/pipctl
              $out/bin/pipctl completions zsh > $out/share/zsh/site-functions/_pipctl
              $out/bin/pipctl completions fish > $out/share/fish/vendor_completions.d/pipctl.fish
            '';
            meta = {
              description = "Keeps the servers of a Python workspace running";
              mainProgram = "pipctl";
              license = [
                pkgs.lib.licenses.mit
                pkgs.lib.licenses.asl20
              ];
              platforms = pkgs.lib.platforms.unix;
            };
          };
        }
      );

      # nix run github:… -- status
      apps = each (
        pkgs: system: {
          default = {
            type = "app";
            program = "${self.packages.${system}.default}/bin/pipctl";
          };
        }
      );

      devShells = each (
        pkgs: system: {
          # For a workspace: its servers are started as the shell is entered, and stay when it is left.
          default = pkgs.mkShell {
            packages = [
              self.packages.${system}.default
              pkgs.python3
            ];
            shellHook = ''
              pipctl start || true
            '';
          };
          # For work on pipd itself.
          build = pkgs.mkShell {
            packages = [
              pkgs.cargo
              pkgs.rustc
              pkgs.rustfmt
              pkgs.clippy
              pkgs.python3
            ];
          };
        }
      );

      # nix flake init --template github:…
      templates.default = {
        path = ./packaging/nix-template;
        description = "A workspace whose JupyterLab and FastHTML application start with its shell";
      };
    };
}

{
  description = "A workspace whose servers start with its shell and stay when it is left";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Where pipd comes from: put a clone here (path:/home/ada/pipd), or name one: nix registry add pipd path:/home/ada/pipd
    pipd.url = "flake:pipd";
    pipd.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { nixpkgs, pipd, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      shell =
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
        in
        pkgs.mkShell {
          packages = [
            pkgs.python3
            pipd.packages.${system}.default
          ];
          # pipctl installs nothing and changes no file: what is needed is made here, once.
          shellHook = ''
            if [ ! -e .venv ]; then
              python3 -m venv .venv
              if [ -e requirements.txt ]; then .venv/bin/python -m pip install -r requirements.txt; fi
            fi
            pipctl start || true
          '';
        };
    in
    {
      devShells = nixpkgs.lib.genAttrs systems (system: {
        default = shell system;
      });
    };
}

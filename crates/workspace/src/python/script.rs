//! Whether a Python file serves when it is run, told from its source.

use super::tokens::{Token, tokens};

/// The files that are looked at, in this order.
pub(crate) const CANDIDATES: [&str; 3] = ["server.py", "main.py", "app.py"];

/// A file that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// `serve() (FastHTML)`.
    pub(crate) call: &'static str,
    /// The port it will listen on whatever it is told, where the source says so.
    pub(crate) fixed_port: Option<u16>,
}

/// Looks for the call that serves. A call in a comment, string or docstring does not count.
pub(crate) fn inspect(source: &[u8]) -> Option<Serving> {
    let tokens = tokens(source);
    fasthtml(&tokens).or_else(|| uvicorn(&tokens)).or_else(|| flask(&tokens))
}

/// FastHTML's `serve()` takes its port from `PORT`, unless it is told one.
fn fasthtml(tokens: &[Token<'_>]) -> Option<Serving> {
    let names = imported(tokens, b"fasthtml");
    let own =
        tokens.windows(2).any(|pair| pair[0] == Token::Name(b"def") && pair[1] == Token::Name(b"serve"));
    let call = calls(tokens, b"serve").find(|&at| match receiver(tokens, at) {
        None => !own && !names.is_empty(),
        Some(name) => names.contains(&name),
    })?;
    Some(Serving { call: "serve() (FastHTML)", fixed_port: port(tokens, call, None).literal() })
}

/// `uvicorn.run()` listens on 8000 unless told otherwise; what is no plain number is taken to come from `PORT`.
fn uvicorn(tokens: &[Token<'_>]) -> Option<Serving> {
    let names = imported(tokens, b"uvicorn");
    let call =
        calls(tokens, b"run").find(|&at| receiver(tokens, at).is_some_and(|name| names.contains(&name)))?;
    Some(Serving { call: "uvicorn.run()", fixed_port: port(tokens, call, None).or_default(8000) })
}

/// Flask's `app.run()` listens on 5000 unless told otherwise.
fn flask(tokens: &[Token<'_>]) -> Option<Serving> {
    if imported(tokens, b"flask").is_empty() {
        return None;
    }
    let call = calls(tokens, b"run").find(|&at| match receiver(tokens, at) {
        Some(name) => name == b"app" || name == b"application" || is_made_by(tokens, name, b"Flask"),
        None => false,
    })?;
    Some(Serving { call: "app.run() (Flask)", fixed_port: port(tokens, call, Some(1)).or_default(5000) })
}

/// The names that import statements bind from a package or its modules; empty when it is not imported.
fn imported<'a>(tokens: &[Token<'a>], package: &[u8]) -> Vec<&'a [u8]> {
    let mut names = Vec::new();
    for statement in tokens.split(|token| *token == Token::End) {
        // `if debug: import x` is a statement in a statement.
        for (at, token) in statement.iter().enumerate() {
            let begins = at == 0 || statement[at - 1] == Token::Mark(b':');
            let keyword = *token == Token::Name(b"from") || *token == Token::Name(b"import");
            if !(begins && keyword) {
                continue;
            }
            let words = &statement[at + 1..];
            let from = *token == Token::Name(b"from");
            let ours = if from {
                words.first() == Some(&Token::Name(package))
            } else {
                words.contains(&Token::Name(package))
            };
            if ours {
                names.extend(words.iter().filter_map(|word| match word {
                    Token::Name(name) => Some(*name),
                    _ => None,
                }));
            }
        }
    }
    names
}

/// Places of the opening bracket of every call of a function, definitions left out.
fn calls<'a>(tokens: &'a [Token<'_>], function: &'static [u8]) -> impl Iterator<Item = usize> + 'a {
    (1..tokens.len()).filter(move |&at| {
        tokens[at] == Token::Mark(b'(')
            && tokens[at - 1] == Token::Name(function)
            && !(at >= 2 && matches!(tokens[at - 2], Token::Name(b"def" | b"class")))
    })
}

/// For the call `a.b.run(`, the name `a`.
fn receiver<'a>(tokens: &[Token<'a>], call: usize) -> Option<&'a [u8]> {
    let mut at = call.checked_sub(2)?;
    let mut name = None;
    while tokens[at] == Token::Mark(b'.') {
        name = Some(match at.checked_sub(1).map(|before| tokens[before]) {
            Some(Token::Name(name)) => name,
            _ => b"".as_slice(),
        });
        match at.checked_sub(2) {
            Some(before) => at = before,
            None => break,
        }
    }
    name
}

/// Whether there is a `name = Flask(` or `name = flask.Flask(`.
fn is_made_by(tokens: &[Token<'_>], name: &[u8], class: &'static [u8]) -> bool {
    calls(tokens, class).any(|call| {
        let dotted = receiver(tokens, call).is_some();
        let equals = call.checked_sub(if dotted { 4 } else { 2 });
        equals.is_some_and(|at| {
            tokens[at] == Token::Mark(b'=') && at > 0 && tokens[at - 1] == Token::Name(name)
        })
    })
}

/// What a call says about its port.
enum PortArgument {
    Literal(u16),
    Computed,
    Nothing,
}

impl PortArgument {
    fn literal(self) -> Option<u16> {
        match self {
            Self::Literal(port) => Some(port),
            Self::Computed | Self::Nothing => None,
        }
    }

    fn or_default(self, default: u16) -> Option<u16> {
        match self {
            Self::Literal(port) => Some(port),
            Self::Computed => None,
            Self::Nothing => Some(default),
        }
    }
}

/// The argument `port=…` of the call whose bracket opens at `call`, or the one at a position.
fn port(tokens: &[Token<'_>], call: usize, position: Option<usize>) -> PortArgument {
    let mut depth = 0usize;
    let mut arguments: Vec<Vec<Token<'_>>> = vec![Vec::new()];
    for token in &tokens[call..] {
        match token {
            Token::Mark(b'(' | b'[' | b'{') => depth += 1,
            Token::Mark(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Token::Mark(b',') if depth == 1 => {
                arguments.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if let Some(last) = arguments.last_mut() {
            last.push(*token);
        }
    }
    // The opening bracket itself.
    arguments[0].remove(0);
    for (index, argument) in arguments.iter().enumerate() {
        match argument.as_slice() {
            [Token::Name(b"port"), Token::Mark(b'='), value @ ..] => {
                return match value {
                    [Token::Number(digits)] => number(digits),
                    _ => PortArgument::Computed,
                };
            }
            [Token::Number(digits)] if position == Some(index) => return number(digits),
            // `run(app, **settings)` may carry it.
            [Token::Mark(b'*'), Token::Mark(b'*'), ..] => return PortArgument::Computed,
            _ => {}
        }
    }
    PortArgument::Nothing
}

fn number(digits: &[u8]) -> PortArgument {
    let plain: String = digits.iter().filter(|&&b| b != b'_').map(|&b| char::from(b)).collect();
    match plain.parse::<u16>() {
        Ok(port) if port > 0 => PortArgument::Literal(port),
        _ => PortArgument::Computed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Option<(&'static str, Option<u16>)> {
        inspect(source.as_bytes()).map(|serving| (serving.call, serving.fixed_port))
    }

    const FASTHTML: &str = "serve() (FastHTML)";
    const UVICORN: &str = "uvicorn.run()";
    const FLASK: &str = "app.run() (Flask)";

    #[test]
    fn what_serves() {
        for (source, expected) in [
            ("from fasthtml.common import *\napp, rt = fast_app()\nserve()\n", (FASTHTML, None)),
            ("from fasthtml import FastHTML, serve\nserve(reload=False)", (FASTHTML, None)),
            ("import fasthtml.common as fh\nfh.serve()", (FASTHTML, None)),
            ("import fasthtml\nfasthtml.common.serve(port=8000)", (FASTHTML, Some(8000))),
            (
                "import os, fasthtml.common\nif x: fasthtml.common.serve(\n  port = 5_002, host='x',\n)",
                (FASTHTML, Some(5002)),
            ),
            ("from fasthtml.common import *\nserve(port=int(os.getenv('PORT', 1)))", (FASTHTML, None)),
            ("from fasthtml.common import (\n  FastHTML,\n  serve,\n)\r\nserve ()\r\n", (FASTHTML, None)),
            ("import uvicorn\nif __name__ == '__main__':\n  uvicorn.run(app)", (UVICORN, Some(8000))),
            (
                "import uvicorn\nuvicorn.run('a:b', host='0.0.0.0', port=9000, reload=f(1, 2))",
                (UVICORN, Some(9000)),
            ),
            ("import uvicorn\nuvicorn.run(app, port=PORT)", (UVICORN, None)),
            ("import uvicorn as uv\nuv.run(app, **settings)", (UVICORN, None)),
            ("from flask import Flask\napp = Flask(__name__)\napp.run()", (FLASK, Some(5000))),
            (
                "from flask import Flask\nweb = Flask(__name__)\nweb.run(debug=True, port=81)",
                (FLASK, Some(81)),
            ),
            ("import flask\nweb = flask.Flask('x')\nweb.run('0.0.0.0', 8081)", (FLASK, Some(8081))),
        ] {
            assert_eq!(found(source), Some(expected), "{source}");
        }
    }

    #[test]
    fn what_does_not_serve() {
        for source in [
            "",
            "serve()",
            "from fasthtml.common import *\n# serve()",
            "from fasthtml.common import *\n'''\nserve()\n'''",
            "from fasthtml.common import *\nprint('serve()')",
            "from fasthtml.common import *\nserve",
            "from fasthtml.common import *\ndef serve():\n  pass\nserve()",
            "from fasthtml.common import *\nrestaurant.serve()",
            "from fasthtml.common import *\npreserve()",
            "# from fasthtml.common import *\nserve()",
            "from myfasthtml import serve\nserve()",
            "raise X from fasthtml\nserve()",
            "import uvicorn\nserver.run(app)",
            "uvicorn.run(app)",
            "app.run()",
            "from flask import Flask\nloop.run()",
            "import asyncio\nasyncio.run(main())",
            "import fasthtml\nf().serve()",
        ] {
            assert_eq!(found(source), None, "{source}");
        }
    }

    #[test]
    fn anything_is_survived() {
        for source in [
            b"serve(".as_slice(),
            b"import fasthtml\nserve(",
            b".run(",
            b"(((((",
            b"\xff\xfe(",
            b"import uvicorn\nuvicorn.run(",
        ] {
            let _ = inspect(source);
        }
    }
}

"""A Python file that is read but not executed."""

import ast
import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from searchcnn.errors import PluginError

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """A Python file that can be executed.

    Attributes:
        tree: Its syntax tree.
    """

    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and compiles a file.

        Raises:
            PluginError: If it cannot be read or is not valid Python.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes(), str(path))
                compile(tree, str(path), "exec", dont_inherit=True)  # finds errors that the tree alone does not show
                return cls(tree)
        except OSError as error:
            raise PluginError(f"{path}: cannot be read: {error.strerror}") from error
        except SyntaxError as error:
            raise PluginError(f"{path}:{error.lineno or 1}: {type(error).__name__}: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nested too deep to compile
            raise PluginError(f"{path}: not valid Python: {error or type(error).__name__}") from error

    @property
    def description(self) -> str:
        """The first line of the docstring."""
        return (ast.get_docstring(self.tree) or "").partition("\n")[0]

    @property
    def may_define_space(self) -> bool:
        """Whether the file defines a class with a base or a function ``build``.

        Only executing it could tell more: a base may come from anywhere.
        """
        return any(
            (isinstance(node, ast.ClassDef) and node.bases)
            or (isinstance(node, ast.FunctionDef) and node.name == "build")
            for node in ast.walk(self.tree)
        )

    @property
    def text(self) -> str:
        """The code in one canonical form, without comments and docstrings."""
        tree = ast.parse(ast.unparse(self.tree))
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        return ast.unparse(tree)


def compute_fingerprint(files: Iterable[Path]) -> str:
    """Identifies code, whatever its comments, docstrings and formatting.

    Returns:
        32 hexadecimal digits (BLAKE2b, RFC 7693). The hash is of the code as text and not as a syntax tree, whose form
        changes with each version of Python.

    Raises:
        PluginError: If a file cannot be read or is not valid Python.
    """
    code = "\n".join(Source.read(file).text for file in files)
    return hashlib.blake2b(code.encode(errors="surrogatepass"), digest_size=16).hexdigest()

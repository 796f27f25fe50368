"""YAML as plain containers, of which size, depth and all that its anchors repeat are counted while it is read."""

import re
from copy import deepcopy
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import ScalarNode

LARGEST = 2**20
"""Bytes; params.yaml, nearly all of it comments, has 50 thousand."""
NODES = 20_000
"""Keys and values, those counted again that an alias repeats; params.yaml has a thousand."""
DEEPEST = 50
LONGEST_NUMBER = 100
"""Characters of a number."""
_NO_TEXT = re.compile("[\\0\ud800-\udfff]")


class _Counted(Composer):
    """Puts the nodes of a file together until there are too many."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.nodes = 0
        self.sizes: dict[str, int] = {}
        self.warn_double_anchors = False

    def compose_node(self, parent: Any, index: Any) -> Any:
        event, before = self.parser.peek_event(), self.nodes
        # an anchor within what it stands for has no size yet: that holds itself, and is refused for it
        self.nodes += self.sizes.get(event.anchor, 1) if isinstance(event, AliasEvent) else 1
        if self.nodes > NODES:
            raise ComposerError(
                None, None, f"it holds, with what aliases repeat, more than {NODES} values", event.start_mark
            )
        if self.depth >= DEEPEST:
            raise ComposerError(None, None, f"its values lie more than {DEEPEST} deep", event.start_mark)
        node = super().compose_node(parent, index)
        if event.anchor is not None and not isinstance(event, AliasEvent):
            self.sizes[event.anchor] = self.nodes - before
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node: ScalarNode = super().compose_scalar_node(anchor)
        if len(node.value) > LONGEST_NUMBER and str(node.tag).endswith((":int", ":float")):
            raise ComposerError(
                None, None, f"it holds a number of {len(node.value)} characters", node.start_mark
            )
        if _NO_TEXT.search(node.value):
            raise ComposerError(None, None, "it holds a NUL or half a character", node.start_mark)
        return node


def loaded(content: bytes) -> Any:
    """What a file of these bytes holds.

    Raises YAMLError for what is no YAML, or too much of it, and whatever constructing a false value raises.
    """
    return deepcopy(_read(content))


@lru_cache(maxsize=16)
def _read(content: bytes) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Counted
    return yaml.load(content)

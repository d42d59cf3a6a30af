"""The templates of an environment as one graph: resources by kind, and what a reference in one leads to, also across stacks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.environments import Environment

Template = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    stack: str
    id: str
    kind: str
    whole: dict[str, Any]

    @property
    def has(self) -> dict[str, Any]:
        found: dict[str, Any] = self.whole.get("Properties", {})
        return found

    @property
    def at(self) -> tuple[str, str]:
        return self.stack, self.id

    def __str__(self) -> str:
        return f"{self.stack}/{self.id}"


class World:
    def __init__(self, environment: Environment, templates: dict[str, Template]) -> None:
        self.environment, self.templates = environment, templates
        exported = ((stack, output) for stack, template in templates.items() for output in template.get("Outputs", {}).values() if "Export" in output)
        self._exports = {output["Export"]["Name"]: (stack, output["Value"]) for stack, output in exported}

    @classmethod
    def read(cls, environment: Environment, folder: Path) -> "World":
        begins = f"Atrium-{environment.name}-"
        paths = sorted((folder / environment.name).glob(f"{begins}*.template.json"))
        return cls(environment, {path.name.removeprefix(begins).removesuffix(".template.json"): json.loads(path.read_text()) for path in paths})

    def all(self, kind: str) -> Iterator[Resource]:
        """Of this kind, or of every kind that begins so, where it ends in ::"""
        for stack, template in self.templates.items():
            for id, whole in template["Resources"].items():
                if whole["Type"] == kind or (kind.endswith("::") and whole["Type"].startswith(kind)):
                    yield Resource(stack, id, whole["Type"], whole)

    def target(self, stack: str, value: Any) -> tuple[str, str] | None:
        """The resource that a Ref, a GetAtt or an import names."""
        if isinstance(value, dict) and "Fn::ImportValue" in value and value["Fn::ImportValue"] in self._exports:
            return self.target(*self._exports[value["Fn::ImportValue"]])
        if isinstance(value, dict) and "Ref" in value:
            return stack, value["Ref"]
        if isinstance(value, dict) and "Fn::GetAtt" in value:
            return stack, value["Fn::GetAtt"][0]
        return None

    def reached(self, stack: str, value: Any) -> set[tuple[str, str]]:
        """Every resource that is named anywhere within."""
        found = {target} if (target := self.target(stack, value)) else set()
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return found.union(*(self.reached(stack, part) for part in parts))

    def statements(self, *kinds: str) -> Iterator[tuple[Resource, dict[str, Any]]]:
        for kind in kinds:
            for resource in self.all(kind):
                document = resource.has.get("PolicyDocument") or resource.has.get("KeyPolicy") or resource.has.get("FileSystemPolicy") or {}
                yield from ((resource, statement) for statement in document.get("Statement", []))


def several(value: Any) -> list[Any]:
    """Of what CloudFormation writes as one or as a list."""
    return value if isinstance(value, list) else [value]

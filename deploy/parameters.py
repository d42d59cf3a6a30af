"""What only an operator has, and the repository must not: parameters of CloudFormation. None has a default that would work by accident."""

from typing import Final

import aws_cdk as cdk
from constructs import Construct

_DESCRIBED: Final = {
    "Domain": "The domain people reach, as mall.example.com.",
    "HostedZone": "The id of the Route 53 zone of that domain.",
    "Certificate": "The ARN of a certificate for the domain and for origin.<domain>, in this stack's region.",
    "OriginKey": "A random text that CloudFront sends and the load balancer asks for; the same in both stacks.",
    "CloudFrontPrefixList": "The id of the managed prefix list com.amazonaws.global.cloudfront.origin-facing in this region.",
    "OperatorsEmail": "Where alarms go besides Slack.",
    "Release": "The release that machines run: the name of its folder in the bucket of artifacts.",
    "Repository": "The repository on GitHub that may deploy, as owner/name.",
}
_PATTERNS: Final = {
    "Domain": r"[a-z0-9-]+(\.[a-z0-9-]+)+",
    "HostedZone": "Z[A-Z0-9]{5,32}",
    "Certificate": "arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-z0-9-]+",
    "OriginKey": "[A-Za-z0-9]{32,128}",
    "CloudFrontPrefixList": "pl-[0-9a-f]{8,17}",
    "OperatorsEmail": r"[^\s@]+@[^\s@]+",
    "Release": r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}",
    "Repository": r"[\w.-]+/[\w.-]+",
}
_HIDDEN: Final = frozenset({"OriginKey"})


def parameter(scope: Construct, name: str) -> str:
    """Its value, as a reference; made once a stack."""
    stack = cdk.Stack.of(scope)
    id = f"Parameter{name}"
    known = stack.node.try_find_child(id)
    if not isinstance(known, cdk.CfnParameter):
        known = cdk.CfnParameter(stack, id, description=_DESCRIBED[name], allowed_pattern=_PATTERNS[name], no_echo=name in _HIDDEN or None)
        known.override_logical_id(name)
    return known.value_as_string

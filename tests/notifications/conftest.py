"""What tests of messages share: whatever the environment says, they call nobody."""

from tests.operations.conftest import calm, no_slack, scheduler, slack

__all__ = ["calm", "no_slack", "scheduler", "slack"]

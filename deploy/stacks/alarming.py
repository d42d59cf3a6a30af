"""One alarm, made the same way everywhere: it has a name with a heading in the runbook, says what it means, and tells the topic both ways."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns

from deploy import names
from deploy.stacks.base import Stack

QUIET: Final = cloudwatch.TreatMissingData.NOT_BREACHING  # nothing is counted where nothing happens
SILENT: Final = cloudwatch.TreatMissingData.BREACHING  # silence itself is the fault
ABOVE: Final = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
BELOW: Final = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


def alarm(
    stack: Stack,
    alerts: sns.ITopic,
    name: str,
    metric: cloudwatch.IMetric,
    threshold: float,
    means: str,
    *,
    periods: int = 3,
    of: int | None = None,
    way: cloudwatch.ComparisonOperator = ABOVE,
    missing: cloudwatch.TreatMissingData = QUIET,
    suffix: str = "",
) -> cloudwatch.Alarm:
    """`periods` of `of` (all of them, where `of` is not given) must be past the threshold. `suffix`: of one among several things of a kind."""
    if name not in names.ALARMS:
        raise ValueError(f"{name} is not among the alarms of deploy.names.")
    made = cloudwatch.Alarm(
        stack,
        "Alarm" + "".join(word.title() for word in f"{name}{suffix}".split("-")),
        alarm_name=stack.named(names.ALARM, name=f"{name}{suffix}"),
        alarm_description=means,
        metric=metric,
        threshold=threshold,
        evaluation_periods=of or periods,
        datapoints_to_alarm=periods,
        comparison_operator=way,
        treat_missing_data=missing,
    )
    made.add_alarm_action(actions.SnsAction(alerts))
    made.add_ok_action(actions.SnsAction(alerts))
    return made


def metric(space: str, name: str, *, minutes: int = 1, statistic: str = "Sum", **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(namespace=space, metric_name=name, statistic=statistic, period=cdk.Duration.minutes(minutes), dimensions_map=dimensions)

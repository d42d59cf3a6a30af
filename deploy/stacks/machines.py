"""The groups of machines, one a role: a launch template, a group that replaces before it ends, and what scales it."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks.base import Stack
from deploy.stacks.data import Data
from deploy.stacks.foundation import Foundation

# Nothing secret is here: the machine fetches what it needs by its role.
START: Final = """#!/bin/bash
set -euo pipefail
export {settings}
aws s3 cp --only-show-errors "$ATRIUM_RELEASE_AT/boot.sh" /run/atrium-boot.sh
exec sh /run/atrium-boot.sh {role}
"""
BUSY: Final = 50  # per cent of CPU that a group aims at: with two zones, one must be able to carry both
TOLD: Final = tuple(f"autoscaling:EC2_INSTANCE_{what}" for what in ("LAUNCH", "LAUNCH_ERROR", "TERMINATE", "TERMINATE_ERROR"))
WARM_S: Final = 120
BAKE_S: Final = 300


class Machines(Construct):
    def __init__(
        self, stack: Stack, ground: Foundation, held: Data, role: names.Role, profile: iam.CfnInstanceProfile, targets: elb.ApplicationTargetGroup | None
    ) -> None:
        super().__init__(stack, f"Machines-{role.name}")
        self.stack_of, self.ground, self.held, self.role, self.targets = stack, ground, held, role, targets
        self.sizes = stack.settings.machines[role.name]
        self.name = stack.named(names.GROUP, role=role.name)
        self.template = self._template(profile)

    def group(self, alarms: list[cloudwatch.Alarm]) -> autoscaling.CfnAutoScalingGroup:
        """`alarms` call a replacement back."""
        made = autoscaling.CfnAutoScalingGroup(
            self,
            "Group",
            auto_scaling_group_name=self.name,
            min_size=str(self.sizes.least),
            max_size=str(self.sizes.most),
            vpc_zone_identifier=self.ground.network.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS).subnet_ids,
            launch_template=autoscaling.CfnAutoScalingGroup.LaunchTemplateSpecificationProperty(
                launch_template_id=self.template.ref, version=self.template.attr_latest_version_number
            ),
            health_check_type="ELB" if self.targets else "EC2",
            health_check_grace_period=180,
            default_instance_warmup=WARM_S,
            target_group_arns=[self.targets.target_group_arn] if self.targets else None,
            metrics_collection=[autoscaling.CfnAutoScalingGroup.MetricsCollectionProperty(granularity="1Minute")],
            lifecycle_hook_specification_list=[
                autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty(
                    lifecycle_hook_name=names.HOOK,
                    lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
                    heartbeat_timeout=names.DRAIN_S,
                    default_result="CONTINUE",
                )
            ],
            notification_configurations=[
                autoscaling.CfnAutoScalingGroup.NotificationConfigurationProperty(topic_arn=self.ground.alerts.topic_arn, notification_types=list(TOLD))
            ],
            tags=[autoscaling.CfnAutoScalingGroup.TagPropertyProperty(key=key, value=value, propagate_at_launch=True) for key, value in self._tags().items()],
        )
        made.cfn_options.update_policy = cdk.CfnUpdatePolicy(auto_scaling_instance_refresh=self._refresh(alarms))
        if not self.role.only_one and self.sizes.most > self.sizes.least:
            self._scaling(made)
        return made

    def _tags(self) -> dict[str, str]:
        return {"Name": self.name, "project": names.PROJECT, "environment": self.stack_of.settings.name, "role": self.role.name}

    def _refresh(self, alarms: list[cloudwatch.Alarm]) -> cdk.CfnAutoScalingInstanceRefresh:
        """New ones stand before old ones go; of the only scheduler the old one goes first, and its rows wait for a minute."""
        return cdk.CfnAutoScalingInstanceRefresh(
            strategy="Rolling",
            preferences=cdk.CfnAutoScalingInstanceRefreshPreferences(
                min_healthy_percentage=0 if self.role.only_one else 100,
                max_healthy_percentage=100 if self.role.only_one else names.REFRESH_MOST,
                instance_warmup=WARM_S,
                bake_time=BAKE_S,
                skip_matching=True,
                alarm_specification=cdk.CfnAutoScalingInstanceRefreshAlarmSpecification(alarms=[each.alarm_name for each in alarms]),
            ),
        )

    def _scaling(self, group: autoscaling.CfnAutoScalingGroup) -> None:
        """By CPU in every role: the queues carry doorbells, so their length says nothing of what waits."""
        autoscaling.CfnScalingPolicy(
            self,
            "Scaling",
            auto_scaling_group_name=group.ref,
            policy_type="TargetTrackingScaling",
            target_tracking_configuration=autoscaling.CfnScalingPolicy.TargetTrackingConfigurationProperty(
                target_value=BUSY,
                predefined_metric_specification=autoscaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="ASGAverageCPUUtilization"
                ),
            ),
        )

    def _template(self, profile: iam.CfnInstanceProfile) -> ec2.CfnLaunchTemplate:
        image = ec2.MachineImage.latest_amazon_linux2023().get_image(self)  # a parameter that CloudFormation asks for: nothing is looked up here
        kind = ec2.CfnLaunchTemplate
        return ec2.CfnLaunchTemplate(
            self,
            "Template",
            launch_template_data=kind.LaunchTemplateDataProperty(
                image_id=image.image_id,
                instance_type=self.sizes.kind,
                iam_instance_profile=kind.IamInstanceProfileProperty(arn=profile.attr_arn),
                network_interfaces=[
                    kind.NetworkInterfaceProperty(
                        device_index=0, associate_public_ip_address=False, groups=[self.ground.machines.security_group_id], delete_on_termination=True
                    )
                ],
                block_device_mappings=[
                    kind.BlockDeviceMappingProperty(
                        device_name="/dev/xvda",
                        ebs=kind.EbsProperty(volume_size=self.sizes.disk_gb, volume_type="gp3", encrypted=True, delete_on_termination=True),
                    )
                ],
                tag_specifications=[
                    kind.TagSpecificationProperty(resource_type="volume", tags=[cdk.CfnTag(key=key, value=value) for key, value in self._tags().items()])
                ],
                metadata_options=kind.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1, http_endpoint="enabled", instance_metadata_tags="enabled"
                ),
                monitoring=kind.MonitoringProperty(enabled=True),
                user_data=cdk.Fn.base64(self._start()),
            ),
        )

    def _start(self) -> str:
        stack, held = self.stack_of, self.held
        settings = {
            "ATRIUM_ENVIRONMENT": stack.settings.name,
            "AWS_REGION": cdk.Aws.REGION,
            "ATRIUM_RELEASE_AT": f"s3://{held.artifacts.bucket_name}/{names.RELEASES}/{parameter(self, 'Release')}",
            "ATRIUM_GROUP": self.name,
            "ATRIUM_HOOK": names.HOOK,
            "ATRIUM_FILES": held.files.file_system_id,
            "ATRIUM_FILES_ENTRY": held.files_entry.access_point_id,
        }
        if settings.keys() != set(names.BOOT_SETTINGS):
            raise ValueError(f"What a launch says and deploy.names differ: {sorted(settings.keys() ^ set(names.BOOT_SETTINGS))}.")
        return START.format(settings=" ".join(f"{name}={value}" for name, value in settings.items()), role=self.role.name)

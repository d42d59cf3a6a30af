"""What runs: the load balancer, the groups of machines and their role, mail, the settings they read, and the documents that migrate and drain."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from deploy import names
from deploy.parameters import parameter
from deploy.stacks import rights
from deploy.stacks.balancer import Balancer
from deploy.stacks.base import Stack
from deploy.stacks.bastion import Bastion
from deploy.stacks.data import Data
from deploy.stacks.foundation import Foundation, log_group
from deploy.stacks.machines import Machines
from deploy.stacks.post import Post


class Application(Stack):
    def __init__(self, scope: Construct, id: str, *, ground: Foundation, held: Data, **given: Any) -> None:
        super().__init__(scope, id, **given)
        self.ground, self.held = ground, held
        self.balancer = Balancer(self, ground)
        self.post = Post(self, ground)
        logs = [log_group(self, ground, f"Log-{role.name}", role.name) for role in names.ROLES]
        self.role = rights.role(self, ground, held, logs)
        profile = iam.CfnInstanceProfile(self, "MachinesProfile", roles=[self.role.role_name])
        alarms = self.balancer.alarms()
        self.groups = {}
        for role in names.ROLES:
            self.groups[role.name] = Machines(self, ground, held, role, profile, self.balancer.targets.get(role.name)).group(alarms)
        self._settings()
        self._secret()
        self._documents()
        if self.settings.bastion_from:
            Bastion(self, ground, held)

    def _settings(self) -> None:
        """Read by the machines at their start; the application's own names."""
        domain = parameter(self, "Domain")
        values = {
            "ALLOWED_HOSTS": domain,
            "ATRIUM_BEHIND_PROXY": "1",
            "ATRIUM_INSTANCE": self.named("atrium-{}"),
            "ATRIUM_MAIL_FROM": f"atrium@{domain}",
            "ATRIUM_URL": f"https://{domain}",
            "BROKER_QUEUES": ",".join(f"{name}={queue.queue_url}" for name, queue in self.held.queues.items()),
            "BROKER_URL": "sqs://",
            "DATABASE_IAM": "1",
            "DATABASE_URL": _address(self.held.database),
            "EMAIL_URL": f"ses://{cdk.Aws.REGION}",
            "LOG_FORMAT": "json",
            "METRICS": "emf",
            "SES_CONFIGURATION_SET": self.post.set.ref,
            "SNS_TOPIC_ARNS": self.post.feedback.topic_arn,
            "STATIC_BUCKET": self.held.static.bucket_name,
        }
        if values.keys() != set(names.PARAMETERS):
            raise ValueError(f"Parameters and deploy.names differ: {sorted(values.keys() ^ set(names.PARAMETERS))}.")
        if self.held.readers:
            values |= dict.fromkeys(names.READER_PARAMETERS, _address(self.held.readers[0]))
        for name, value in values.items():
            ssm.CfnParameter(self, f"Setting-{name}", name=f"{self.named(names.PARAMETERS_PATH)}/{name}", type="String", value=value)

    def _secret(self) -> None:
        """SECRET_KEY is made here; what only people know (Slack) they add to the same JSON object."""
        secretsmanager.Secret(
            self,
            "Secret",
            secret_name=self.named(names.SECRET),
            encryption_key=self.ground.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106 (empty)
                generate_string_key=names.SECRETS[0],
                password_length=64,
                exclude_characters="\"\\'{}",
            ),
            removal_policy=self.kept,
        )

    def _documents(self) -> None:
        release = {
            "Release": {"type": "String", "allowedPattern": "^[0-9A-Za-z][0-9A-Za-z.-]{0,63}$", "description": "The release, as in the bucket of artifacts"}
        }
        place = f"s3://{self.bucket_name('artifacts')}/{names.RELEASES}/{{{{ Release }}}}"
        steps = [
            f"export ATRIUM_RELEASE_AT={place}",
            'aws s3 cp --only-show-errors "$ATRIUM_RELEASE_AT/boot.sh" /run/atrium-migrate.sh',
            "sh /run/atrium-migrate.sh migrate",
        ]
        self._document("migrate", "Migrate the database once, under its lock, with the code of a release that no machine runs yet", steps, 3600, release)
        self._document("drain", "Let a machine finish its work and take no more", [f"{names.CURRENT}/instance/drain.py --now"], names.DRAIN_S, {})

    def _document(self, name: str, description: str, commands: list[str], seconds: int, parameters: dict[str, Any]) -> None:
        step = {"action": "aws:runShellScript", "name": name, "inputs": {"timeoutSeconds": str(seconds), "runCommand": ["set -eu", *commands]}}
        content = {"schemaVersion": "2.2", "description": description, "parameters": parameters, "mainSteps": [step]}
        ssm.CfnDocument(
            self,
            f"Document-{name}",
            name=self.named(names.DOCUMENTS[name]),
            document_type="Command",
            content=content,
            update_method="NewVersion",
            target_type="/AWS::EC2::Instance",
        )


def _address(database: rds.DatabaseInstanceBase) -> str:
    """Without a password: the token of the role takes its place. The certificate is always checked, against Amazon's own."""
    where = f"{database.db_instance_endpoint_address}:{names.DATABASE_PORT}/{names.DATABASE_NAME}"
    return f"postgres://{names.DATABASE_ROLE}@{where}?sslmode=verify-full&sslrootcert={names.CERTIFICATES}"

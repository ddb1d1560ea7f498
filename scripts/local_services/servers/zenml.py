"""The ZenML server, and the service account that clients log in with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fair_dagster.domain.errors import ServiceError
from scripts.local_services import health
from scripts.local_services.home import HOST
from scripts.local_services.servers import mariadb
from scripts.local_services.service import Service

if TYPE_CHECKING:
    import httpx

ADMIN = "default"
ACCOUNT = "fair-dagster"
_KEY = "api_key"


class ZenMl(Service):
    """A ZenML server on the database of `MariaDb`."""

    key: ClassVar[str] = "zenml"
    needs: ClassVar[tuple[str, ...]] = ("mariadb",)
    # The first start makes 100 tables.
    seconds: ClassVar[float] = 240

    def values(self) -> Mapping[str, str]:
        return {
            "mariadb_host": HOST,
            "mariadb_port": str(self.home.port("mariadb")),
            "mariadb_user": mariadb.USER,
            "mariadb_password": self.home.secret("mariadb", "password"),
            "mariadb_database": mariadb.DATABASE,
            "admin_name": ADMIN,
            "admin_password": self.secret("admin_password"),
            "jwt_secret": self.secret("jwt_secret"),
        }

    def problem(self) -> str:
        return health.http(f"{self.url}/health")

    def provision(self) -> None:
        """Make the service account and its key, unless the key that is kept here still opens the server."""
        import httpx

        with httpx.Client(base_url=f"{self.url}/api/v1", timeout=60, trust_env=False) as client:
            kept = self.home.kept(self.name, _KEY)
            if kept and client.post("/login", data={"password": kept}).is_success:
                return
            login = client.post("/login", data={"username": ADMIN, "password": self.secret("admin_password")})
            token = _checked(login, "log in as administrator")["access_token"]
            client.cookies.clear()
            client.headers["Authorization"] = f"Bearer {token}"
            account = client.post("/service_accounts", json={"name": ACCOUNT, "description": "", "active": True})
            if account.status_code == httpx.codes.CONFLICT:
                account = client.get(f"/service_accounts/{ACCOUNT}")
            number = _checked(account, "make a service account")["id"]
            # A key is told once; a name of its own lets another be made when this home has lost it.
            name = f"services-{self.home.secret(self.name, 'key_name')[:8]}"
            made = client.post(f"/service_accounts/{number}/api_keys", json={"name": name, "description": ""})
            self.home.secret(self.name, _KEY, _checked(made, "make an API key")["body"]["key"])

    def variables(self) -> Mapping[str, str]:
        return {
            "ZENML_STORE_URL": self.url,
            "ZENML_STORE_API_KEY": self.home.kept(self.name, _KEY),
            "ZENML_ANALYTICS_OPT_IN": "false",
        }


def _checked(answer: "httpx.Response", what: str) -> dict[str, Any]:
    if not answer.is_success:
        raise ServiceError(f"the ZenML server let us not {what}: {answer.status_code} {answer.text[:300]}")
    body = answer.json()
    return body if isinstance(body, dict) else {}

"""Which names of parameters say that the value is a secret."""

import time

import pytest

from orchestrator.core.parameter_secrets import secrets_in
from orchestrator.core.redaction import without
from orchestrator.core.secret_names import says_secret

_SECRET = """
password PASSWORD db_password dbPassword DB-PASSWORD dbpassword passWord password1 password_old passwords
passwd pwd user_pwd passphrase db_pass token access_token accessToken ACCESS_TOKEN tokens bearer_token key
key1 api_key apiKey APIKEY apikey API_KEY_PROD access-key accountKey account_key account_primary_key
storage_account_key openai_key x-functions-key Ocp-Apim-Subscription-Key private_key privateKey secretKey
secret client_secret clientSecret client-secret webhook_secret sas sas_token SASToken storage_sas
SharedAccessSignature sig signature credential db_credentials connection_string connectionString
CONNECTION_STRING conn_str connStr connstring jdbc.connection.string github_pat jwt Authorization
pw PW db_pw dbPw auth basic_auth passwort db_passwort Kennwort mot_de_passe contrasena
fs.s3a.secret.key javax.jdo.option.ConnectionPassword fs.azure.account.key.lake.dfs.core.windows.net
"""

_ORDINARY = """
primary_key primaryKey primary_key_columns key_column keyColumn key_columns KEY_COLUMN keys merge_keys
sort_key partition-key foreign_key business_key LEFT_KEY date_key public_key task_key idempotency_token
page_token monkey turkey keyword keyspace hockey key_vault key_vault_name key_id secret_scope secret_name
secretary token_url token_count tokenizer max_tokens password_file credential_name sas_file sas_url
connection connection_name string passenger_count compass author authorization_mode signal design path
auth_mode auth_type author_name oauth oauth_url pwc
input_path table_name date catalog schema customer note dsn
"""

_TEXTS = """
a:b@c abfss://container@account.dfs.core.windows.net/x wasbs://c@a.blob.core.windows.net/p s3://b/a:b@c/d
anna@example.com mailto:anna@example.com mailto:anna99@example.com owner:anna.berg7@example.com
user:anna99@example.com /Repos/anna@example.com/p /Workspace/Users/a@b.c/n:main@v1 git@github.com:o/r.git
ssh://git@github.com/o image:tag@sha256:abcdef0123456 registry/app:1.2@sha256:abcdef catalog:schema@version
table:sales_2024@v3 table:sales_2024@lake.example.com delta.`/mnt/x`@v12 urn:x:y@z 12:30@room.example.com
npm:left-pad@1.3.0 pkg:pypi/requests@2.31 dbfs:/x/y@z.csv C:/data/x@y 2026-01-01T04:00:00@x
"""


@pytest.mark.parametrize("name", _SECRET.split())
def test_a_name_that_says_secret(name: str) -> None:
    assert says_secret(name)


@pytest.mark.parametrize("name", ["", "_", "7", "ключ", *_ORDINARY.split()])
def test_a_name_that_does_not(name: str) -> None:
    assert not says_secret(name)


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        (["--password", "a-99", "--path", "/x"], ["a-99"]),
        (["--token", "--verbose", "-Dkey=b-99", "--primary-key", "id"], ["b-99"]),
        ({"h": "Authorization: Bearer c-99"}, ["c-99"]),
        ({"h": "Bearer c-98"}, ["c-98"]),
        ({"h": "x-sent: bearer  c.98/=, Basic dTpw0w=="}, ["c.98/=", "dTpw0w=="]),
        ({"h": "Basic processing by the bearer of it"}, []),
        ({"u": "https://h/x?key=d-99&keys=e-99"}, ["d-99"]),
        ({"u": "abfss://container@lake.dfs.core.windows.net/x"}, [""]),
        ({"j": "jdbc:sqlserver://h:1433;user=u;password=f-99;encrypt=true"}, ["f-99"]),
        ({"y": "{user: me, password: g-99}"}, ["g-99}", "g-99"]),
        ({"x": r"say {\"password\": \"h 99\"}"}, ["h 99"]),
        ({"x": '{"a": [{"token": 12345, "b": "token=i-99"}]}'}, ["12345", "i-99"]),
        ({"tokens": '["j-99", "k-99"]'}, ['["j-99", "k-99"]']),
        ({"x": "/mnt/token/part=key/secret"}, []),
        ({"password": True, "x": None}, []),
        ({"login": "user:l-99!@host"}, ["l-99!"]),
        ({"login": "user:letters@host:5432/db"}, ["letters"]),
        ({"x": ["--login", "user:letters@host"]}, ["letters"]),
        ({"x": "run --login user:letters@host now"}, ["letters"]),
        ({"x": "smtp=user:letters@host;to=anna@example.com"}, ["letters"]),
        ({"x": "to u:m99-no@h.example.com:25"}, ["m99-no"]),
        ({"x": "postgres://user:p@ss-99@host/db"}, ["p@ss-99"]),
        ({"x": "redis://:q-99@h:6379"}, ["q-99"]),
        ({"x": "jdbc:oracle:thin:user/r-99@//h:1521/x"}, ["r-99"]),
        ({"x": "jdbc:postgresql://h/db?user=u&password=s-99"}, ["s-99"]),
        ({"kennwort": "t-99", "y": "Kennwort=u-99;Benutzer=me"}, ["t-99", "u-99"]),
        ({"auth": "user:v-99"}, ["user:v-99", "v-99"]),
        ({"auth": "Bearer w-99"}, ["Bearer w-99", "w-99"]),
        ({"auth": "Bearer letters"}, ["Bearer letters", "letters"]),
        ({"h": "Authorization: Bearer letters"}, ["letters"]),
        ({"x": "OPTIONS ('password' => 'x-99', 'dbtable' => 'sales')"}, ["x-99"]),
        ({"x": 'df.option("password", "y-99").option("dbtable", "sales")'}, ["y-99"]),
        ({"x": "<conf><c:password kind='a'>z-99</c:password></conf>"}, ["z-99</c:password></conf>", "z-99"]),
        ({"x": "<key>customer_id</key> f('key', 'customer_id') key => 'customer_id'"}, []),
        ('{"password": ', []),
        (None, []),
    ],
)
def test_where_secrets_are_found(value: object, secrets: list[str]) -> None:
    assert secrets_in(value) == secrets


@pytest.mark.parametrize("text", _TEXTS.split())
@pytest.mark.parametrize("name", ["path", "owner", "x"])
def test_ordinary_texts_stay(name: str, text: str) -> None:
    error = f"cannot use {text}: {text}, since it is not there"
    for value in (text, f"see {text} and {text}"):
        assert without(error, secrets_in({name: value})) == error


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '{"a":' * 20_000, "token=" * 20_000, ";a={" * 20_000, ";pwd={" * 20_000),
        *("--a " * 20_000, "://" * 20_000, "a=" * 50_000, "token=\\" * 20_000, "a" * 100_000, "; " * 50_000),
        *(
            "user:a@" * 10_000,
            "a:b" * 20_000,
            "Bearer aaaa" * 9_000,
            "jdbc:oracle:a:" * 9_000,
            "--a=b:" * 9_000,
            "<a " * 20_000,
            "('a'," * 20_000,
        ),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    secrets_in({"x": text})
    assert time.process_time() - began < 2

"""``oci listen``."""

import threading

import click

from fair_dagster.cli.terminal.session import Session


@click.command("listen")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8085, show_default=True, help="0 takes a free one.")
@click.pass_obj
def listen(session: Session, host: str, port: int) -> None:
    """Take notifications of registries, for the sensor oci_pushes to look at.

    A registry posts them to http://HOST:PORT/notifications with the header "Authorization: Bearer SECRET", where SECRET
    is FAIR_OCI_LISTEN_SECRET. Ends at SIGTERM or Ctrl-C.
    """
    import signal

    ended = threading.Event()
    with session.fair.oci.listener(host, port) as listener:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        session.output().line(f"listening on {listener.url}")
        ended.wait()
        listener.shutdown()
        thread.join()

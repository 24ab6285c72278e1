"""Stands in for HyperCore's API on a port of its own."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class MidsServer(ThreadingHTTPServer):
    """Answers every POST with `reply` and `status`, as set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.reply, self.status = b"{}", 200
        self.asked: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/info"
        self._thread = Thread(target=self.serve_forever, args=(0.02,))

    def start(self) -> "MidsServer":
        self._thread.start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Answer(BaseHTTPRequestHandler):
    server: MidsServer

    def do_POST(self) -> None:
        self.server.asked.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.reply)))
        self.end_headers()
        self.wfile.write(self.server.reply)

    def log_message(self, *_: object) -> None:
        return

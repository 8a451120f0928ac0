"""Put first on PYTHONPATH: whatever asks for the network, AF_UNIX and names included, fails and is
written into the file that $OFFLINE_TOLD names. Audit hooks cannot be taken out again."""

import os
import sys

EVENTS = {
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
    *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
    *("urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect"),
}


def refuse(event, arguments):
    if event in EVENTS:
        with open(os.environ["OFFLINE_TOLD"], "a") as told:
            told.write(f"{event} {arguments[1:]}\n")
        raise OSError(f"offline: {event}")


sys.addaudithook(refuse)

"""A DNS server that answers every question with an address that is kept for a minute, after some milliseconds: server.py ADDRESS."""
import asyncio
import random
import sys


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        end = data.find(b"\0", 12) + 5
        if end < 17:
            return
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" if data[end - 4:end - 2] == b"\0\1" else b""
        response = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0" + data[12:end] + answer
        late = random.lognormvariate(-5.2, 0.5)
        asyncio.get_running_loop().call_later(late, self.transport.sendto, response, client)


async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(sys.argv[1], 53))
    await asyncio.Event().wait()


asyncio.run(main())

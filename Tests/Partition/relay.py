"""Stands in each namespace for what a proxy with TLS does in the world: plain HTTP is taken on loopback alone, so each node is
reached at its own port of everybody's loopback. `relay.py FROM TO …` carries connections, from and to as HOST:PORT. Beside it stands
the service that the nodes sell, on port 9000 of loopback."""

import asyncio
import sys


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(source: str, target: str) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = target.rsplit(":", 1)
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, back), copy(there, writer))

    host, port = source.rsplit(":", 1)
    server = await asyncio.start_server(carry, host, int(port))
    async with server:
        await server.serve_forever()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n21")
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main(words: list[str]) -> None:
    await asyncio.start_server(answer, "127.0.0.1", 9000)
    await asyncio.gather(*(serve(*words[index : index + 2]) for index in range(0, len(words), 2)))


asyncio.run(main(sys.argv[1:]))

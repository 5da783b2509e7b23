"""A Realtime conversation over a raw WebSocket: one span for the connection, and one for each turn."""

from __future__ import annotations

import json
import os

import websockets.sync.client
from demo_sockets import realtime_url

import streamspan

QUESTIONS = ["What is a stream?", "And a turn?"]


def main() -> None:
    with realtime_url("gpt-realtime") as url:
        streamspan.instrument()
        headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'demo')}"}
        with websockets.sync.client.connect(url, additional_headers=headers) as socket:
            for question in QUESTIONS:
                content = [{"type": "input_text", "text": question}]
                item = {"type": "message", "role": "user", "content": content}
                socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
                socket.send(json.dumps({"type": "response.create"}))
                for message in socket:
                    event = json.loads(message)
                    if event["type"] == "response.output_audio_transcript.delta":
                        print(event["delta"], end="")
                    elif event["type"] == "response.done":
                        break
                print()


if __name__ == "__main__":
    main()

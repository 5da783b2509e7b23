"""A voice turn with Gemini Live: the user's speech goes up, the model's comes down, and the turn is one span."""

from __future__ import annotations

import asyncio
from typing import Any

from demo_sockets import live_client
from google.genai import types

import streamspan

SPEECH = b"\0\0" * 1600  # 0.1 s of silence, 16 kHz; an application sends its microphone


async def main() -> None:
    streamspan.instrument()
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    with live_client() as client:
        live: Any = client.aio.live
        async with live.connect(model="gemini-2.5-flash-native-audio-latest", config=config) as session:
            await session.send_realtime_input(activity_start=types.ActivityStart())
            for _ in range(5):
                await session.send_realtime_input(audio=types.Blob(data=SPEECH, mime_type="audio/pcm;rate=16000"))
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            sound = 0
            async for message in session.receive():
                content = message.server_content
                if content and content.output_transcription:
                    print(content.output_transcription.text, end="", flush=True)
                parts: list[Any] = (content and content.model_turn and content.model_turn.parts) or []
                sound += sum(len(part.inline_data.data or b"") for part in parts if part.inline_data)
            print(f"\n{sound} bytes of sound")


if __name__ == "__main__":
    asyncio.run(main())

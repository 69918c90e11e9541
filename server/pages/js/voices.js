/** All models that can speak: those of the server, and those of this browser where there are some. */

/** Answers as `Server` does, for the models of both. */
export class Voices {
  constructor(server, local) {
    Object.assign(this, { server, local });
  }

  /** What there is: { models, mel_presets }, the server's models first. */
  async models() {
    const { models, alone } = await this.local.models();
    if (alone) return { models, mel_presets: [] };
    const answer = await this.server.models();
    return { ...answer, models: [...answer.models, ...models] };
  }

  /** The mel that a model expects of a recording. */
  mel(recording, model, signal) {
    return model.provider ? this.local.mel(recording, model) : this.server.mel(recording, model.name, signal);
  }

  /** Have a model speak; settings left empty are its own. */
  speak(mel, settings, model, signal) {
    if (model.provider) return this.local.speak(mel, settings, model, signal);
    return this.server.speak(mel, { ...settings, model: model.name }, signal);
  }
}

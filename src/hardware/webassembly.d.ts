/** The one piece of the WebAssembly JavaScript API in use; the DOM's type library would bring a browser's globals along. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
  }
}

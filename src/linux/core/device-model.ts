export class DeviceModel {
  constructor(kernel: unknown) {
    void kernel;
  }
}

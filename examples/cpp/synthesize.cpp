// A model in C++, without Python: a program of `vocoder export --format aot-inductor`, a mel, and out comes audio.
//
//   synthesize PROGRAM MEL N_MELS CHANNELS STEPS_PER_FRAME SIGMA OUT
//
// MEL and OUT are raw little-endian 32-bit floats, (n_mels, frames) and (samples,). What noise a program takes is in its
// metadata: `z_channels`, `z_steps_per_frame` and `sigma`.

#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

namespace {

std::vector<char> read(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::cerr << "usage: synthesize PROGRAM MEL N_MELS CHANNELS STEPS_PER_FRAME SIGMA OUT\n";
    return 2;
  }
  try {
    const int64_t n_mels = std::stoll(argv[3]), channels = std::stoll(argv[4]), steps = std::stoll(argv[5]);
    const double sigma = std::stod(argv[6]);
    std::vector<char> bytes = read(argv[2]);
    const int64_t frames = static_cast<int64_t>(bytes.size() / sizeof(float)) / n_mels;
    if (frames == 0 || bytes.size() != sizeof(float) * n_mels * frames) throw std::runtime_error("this is no such mel");
    c10::InferenceMode guard;
    torch::Tensor mel = torch::from_blob(bytes.data(), {1, n_mels, frames}, torch::kFloat32).clone();
    torch::Tensor z = sigma * torch::randn({1, channels, frames * steps});
    torch::inductor::AOTIModelPackageLoader program(argv[1]);
    torch::Tensor x = program.run({z, mel})[0].contiguous();
    std::ofstream(argv[7], std::ios::binary)
        .write(static_cast<const char*>(x.data_ptr()), static_cast<std::streamsize>(x.nbytes()));
    std::cout << x.numel() << " samples\n";
  } catch (const std::exception& error) {
    std::cerr << "synthesize: " << error.what() << "\n";
    return 1;
  }
  return 0;
}

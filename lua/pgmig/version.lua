--- The version, as it stands in CMakeLists.txt and is the newest one in the changelog.
return "0.1.0"
